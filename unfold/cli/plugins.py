"""``unfold plugins``: checks installed components, and creates a plugin."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ._common import CommandError, add_seconds, declare


def add(parser: argparse.ArgumentParser) -> None:
    """Check plugins, or create one.

    Example:
        unfold plugins check
        unfold plugins new acme-prior -o . --group priors
    """
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    check = actions.add_parser("check", help="find broken components", about=run_check.__doc__)
    declare(check, "name NAME", "a component or distribution (default: all)", nargs="?")
    declare(check, "--json", "print a JSON array of objects")
    declare(check, "--traceback", "print the full tracebacks")
    add_seconds(check)
    check.set_defaults(run=run_check)

    new = actions.add_parser("new", help="write a small, installable plugin", about=run_new.__doc__)
    declare(new, "name NAME", "name of the distribution, e.g. acme-prior")
    declare(new, "-o --output DIR", "folder in which the folder NAME is created", default=Path())
    declare(new, "--group GROUP", "group of its component: priors, terms or models",
            default="priors", choices=("priors", "terms", "models"))  # fmt: skip
    new.set_defaults(run=run_new)


def run_check(arguments: argparse.Namespace) -> int:
    """Import every component in another process, and print the errors.

    Imports each component and reads its options within a time limit. The exit status is 1 if a
    component is broken.

    Example:
        unfold plugins check unfold-bm3d
    """
    from unfold.registry.catalog import scan
    from unfold.registry.probe import probe

    catalog = scan()
    named = arguments.name
    chosen = [c for c in catalog.components if named in (None, c.name, c.distribution, c.qualified)]
    damaged = [d for d in catalog.damaged if named is None or d.distribution.startswith(named)]
    if named and not chosen and not damaged:
        raise CommandError(f"no component or distribution is named {named!r}; see `unfold list`")
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
    """Write a small, complete, installable plugin.

    The distribution has one component, its tests (the conformance kit), a README and a CI example.

    Example:
        unfold plugins new acme-prior -o . --group priors
    """
    from unfold.testing.template import write_plugin

    folder = write_plugin(arguments.name, arguments.group, arguments.output)
    print(f"wrote {folder}")
    print(f"next: pip install -e '{folder}[test]' && pytest {folder}")
    return 0
