"""``unfold list``: what is installed. Imports no component, and not torch."""

from __future__ import annotations

import argparse

from unfold.registry.catalogue import GROUPS, scan


def add(commands) -> None:
    parser = commands.add_parser("list", help="list installed components")
    parser.add_argument("group", nargs="?", choices=GROUPS, help="one kind only")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    components = [c for c in scan() if arguments.group in (None, c.group)]
    rows = [(c.group, c.name, f"{c.distribution} {c.version}", c.summary) for c in components]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print("  ".join([*cells, row[3]]).rstrip())
    return 0
