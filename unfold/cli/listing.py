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

from ._common import CommandError, declare


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
    declare(parser, "--json", "print a JSON array of objects")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
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
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif arguments.group:
        _print_lines(found[arguments.group])
    else:
        _print_overview(found)
    for damage in installed().damaged:
        print(f"unfold: {damage.distribution} cannot be read: {damage.error}", file=sys.stderr)
    return 0


def _row(entry: ListEntry) -> dict[str, str]:
    names = ("group", "name", "distribution", "version", "status")
    return {name: getattr(entry, name) for name in names} | {"summary": _summary(entry)}


def _summary(entry: ListEntry) -> str:
    """The summary without the marks of code in docstrings."""
    return entry.describe().replace("``", "")


def _print_lines(found: list[ListEntry]) -> None:
    """One line for each entry; on a terminal, wrapped to its width."""
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    width = max((len(entry.name) for entry in found), default=0)
    for entry in found:
        notes = [f"{entry.distribution} {entry.version}"] if entry.foreign else []
        notes += [] if entry.status == "ok" else [entry.status]
        line = f"{entry.name:<{width}}  {_summary(entry)}"
        line += f" [{'; '.join(notes)}]" if notes else ""
        print(textwrap.fill(line, columns, subsequent_indent=" " * (width + 2)))


def _print_overview(found: dict[str, list[ListEntry]]) -> None:
    for group, here in found.items():
        print(f"{group}: {GROUPS[group]}")
        names = [e.name if e.status == "ok" else f"{e.name} [{e.status}]" for e in here]
        print(textwrap.fill(", ".join(names) or "none", 80, initial_indent="  ",
                            subsequent_indent="  ", break_on_hyphens=False))  # fmt: skip
    print("\n`unfold list GROUP` describes each name.")
