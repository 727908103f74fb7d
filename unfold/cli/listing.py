"""``unfold list``: lists installed components. Imports neither components nor torch."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from fnmatch import fnmatchcase

from unfold._listing import GROUPS, ListEntry, entries
from unfold.registry.catalog import installed

from ._common import CommandError, add_output, check_output, declare, put


def add(parser: argparse.ArgumentParser) -> None:
    """List the installed models, priors, recipes and other components.

    Without a group, prints the names of all groups; with a group, one line for each name. Does not
    import the components: `unfold plugins check` does.

    Example:
        unfold list models
        unfold list recipes 'jude*'
    """
    declare(parser, "group GROUP", f"one of {', '.join(GROUPS)}", nargs="?")
    declare(parser, "pattern PATTERN", "names to list, e.g. 'jude*'", nargs="?", default="*")
    declare(parser, "--json", "write a JSON array of objects")
    add_output(parser, "the list")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    check_output(arguments.output)
    groups = [arguments.group] if arguments.group else [*GROUPS]
    found = {
        group: [e for e in entries(group) if fnmatchcase(e.name, arguments.pattern)]
        for group in groups
    }
    if arguments.pattern != "*" and not (arguments.json or any(found.values())):
        raise CommandError(
            f"no {arguments.group} match {arguments.pattern!r}; `unfold list {arguments.group}` "
            "has all names"
        )
    if arguments.json:
        rows = [_row(entry) for group in groups for entry in found[group]]
        text = json.dumps(rows, indent=2, ensure_ascii=False)
    elif arguments.group:
        on_terminal = sys.stdout.isatty() and arguments.output is None
        columns = shutil.get_terminal_size().columns if on_terminal else sys.maxsize
        text = "\n".join(_lines(found[arguments.group], columns))
    else:
        text = _overview(found)
    put(f"{text}\n" if text else "", arguments.output)
    for damage in installed().damaged:
        print(f"unfold: {damage.distribution} cannot be read: {damage.error}", file=sys.stderr)
    return 0


def _row(entry: ListEntry) -> dict[str, str]:
    names = ("group", "name", "distribution", "version", "status")
    return {name: getattr(entry, name) for name in names} | {"summary": _summary(entry)}


def _summary(entry: ListEntry) -> str:
    """The summary without the marks of code in docstrings."""
    return entry.describe().replace("``", "")


def _lines(found: list[ListEntry], columns: int) -> list[str]:
    """One line for each entry, wrapped to the columns."""
    width = max((len(entry.name) for entry in found), default=0)
    lines = []
    for entry in found:
        notes = [f"{entry.distribution} {entry.version}"] if entry.foreign else []
        notes += [] if entry.status == "ok" else [entry.status]
        line = f"{entry.name:<{width}}  {_summary(entry)}"
        line += f" [{'; '.join(notes)}]" if notes else ""
        lines.append(textwrap.fill(line, columns, subsequent_indent=" " * (width + 2)))
    return lines


def _overview(found: dict[str, list[ListEntry]]) -> str:
    lines = []
    for group, here in found.items():
        names = [e.name if e.status == "ok" else f"{e.name} [{e.status}]" for e in here]
        lines += [f"{group}: {GROUPS[group]}"]
        lines += [textwrap.fill(", ".join(names) or "none", 80, initial_indent="  ",
                                subsequent_indent="  ", break_on_hyphens=False)]  # fmt: skip
    return "\n".join([*lines, "", "`unfold list GROUP` describes each name."])
