"""``unfold plugins``: try out what is installed, and begin a plugin of one's own."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ._common import CommandError


def add(parser: argparse.ArgumentParser) -> None:
    """Check plugins, or begin one."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    check = actions.add_parser(
        "check",
        help="import every component in another process and say what is wrong",
        description="Import each component and read its options, in another process and with a "
        "time limit. The exit status is 1 if one is broken.",
    )
    check.add_argument("name", nargs="?", help="one component or distribution only")
    check.add_argument("--json", action="store_true", help="a JSON array, one object each")
    check.add_argument("--traceback", action="store_true", help="print whole tracebacks")
    check.add_argument(
        "--seconds", type=float, default=30, help="limit for each component (default: %(default)g)"
    )
    check.set_defaults(run=run_check)

    new = actions.add_parser(
        "new",
        help="write a small, complete, installable plugin",
        description="Write a distribution with one component, its tests (the conformance kit), "
        "a README and a CI example.",
    )
    new.add_argument("name", help="of the distribution, e.g. acme-prior")
    new.add_argument("folder", type=Path, metavar="DIR", help="where; a folder NAME is made in it")
    new.add_argument("--group", choices=("priors", "terms", "models"), default="priors")
    new.set_defaults(run=run_new)


def run_check(arguments: argparse.Namespace) -> int:
    from unfold.registry.catalogue import scan
    from unfold.registry.probe import probe

    catalogue = scan()
    named = arguments.name
    chosen = [
        c for c in catalogue.components if named in (None, c.name, c.distribution, c.qualified)
    ]
    damaged = [d for d in catalogue.damaged if named is None or d.distribution.startswith(named)]
    if named and not chosen and not damaged:
        raise CommandError(f"nothing installed is called {named!r}; see unfold list")
    verdicts = probe(chosen, seconds=arguments.seconds)
    rows = [
        {
            "group": v.component.group,
            "name": v.component.name,
            "distribution": v.component.distribution,
            "version": v.component.version,
            "error": v.error,
            "traceback": v.traceback,
        }
        for v in verdicts
    ]
    rows += [
        {"group": "", "name": "", "distribution": d.distribution, "version": "",
         "error": f"metadata cannot be read: {d.error}", "traceback": ""}
        for d in damaged
    ]  # fmt: skip
    if arguments.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _print_report(rows, arguments.traceback)
    return 1 if any(row["error"] for row in rows) else 0


def _print_report(rows: list[dict[str, str]], tracebacks: bool) -> None:
    for row in rows:
        title = " ".join(filter(None, (row["distribution"], row["group"], row["name"])))
        print(f"{'BROKEN' if row['error'] else 'ok    '}  {title}")
        if row["error"]:
            print(f"        {row['error']}")
        if tracebacks and row["traceback"]:
            print("".join(f"        {line}\n" for line in row["traceback"].splitlines()), end="")
    broken = sum(bool(row["error"]) for row in rows)
    print(f"{len(rows) - broken} ok, {broken} broken")


def run_new(arguments: argparse.Namespace) -> int:
    from unfold.testing.template import TemplateError, write_plugin

    try:
        folder = write_plugin(arguments.name, arguments.group, arguments.folder)
    except (TemplateError, OSError) as error:
        raise CommandError(str(error)) from error
    print(f"wrote {folder}")
    print(f"next: pip install -e '{folder}[test]' && pytest {folder}")
    return 0
