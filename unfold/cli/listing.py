"""``unfold list``: what is installed. Imports no component, and not torch."""

from __future__ import annotations

import argparse
import json
import sys

from unfold.registry.catalogue import FUNCTIONS, GROUPS, HOME, Component, installed


def add(parser: argparse.ArgumentParser) -> None:
    """List installed components."""
    parser.description = (
        "List the components that are installed, built in or from plugins. Nothing "
        "is imported for it: `unfold plugins check` tries them out."
    )
    parser.add_argument("group", nargs="?", choices=(*GROUPS, *FUNCTIONS), help="one kind only")
    parser.add_argument("--json", action="store_true", help="a JSON array, one object each")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    catalogue = installed()
    rows = [
        {
            "group": c.group,
            "name": c.name,
            "distribution": c.distribution,
            "version": c.version,
            "summary": c.summary,
            "status": status(c, catalogue.components),
        }
        for c in catalogue.components
        if arguments.group in (None, c.group)
    ]
    if arguments.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        _print_table(rows)
    for damage in catalogue.damaged:
        print(f"unfold: {damage.distribution} cannot be read: {damage.error}", file=sys.stderr)
    return 0


def status(component: Component, all_components: tuple[Component, ...]) -> str:
    """``ok`` where its plain name finds it; else what stands in the way."""
    if component.obstacle:
        return component.obstacle
    rivals = [
        c
        for c in all_components
        if (c.group, c.name) == (component.group, component.name)
        and c != component
        and not c.obstacle
    ]
    if component.distribution != HOME and rivals:
        return f"name taken: call it {component.qualified}"
    return "ok"


def _print_table(rows: list[dict[str, str]]) -> None:
    cells = [
        (r["group"], r["name"], f"{r['distribution']} {r['version']}", r["summary"]) for r in rows
    ]
    widths = [max((len(row[i]) for row in cells), default=0) for i in range(3)]
    for row, whole in zip(cells, rows, strict=True):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        note = "" if whole["status"] == "ok" else f" [{whole['status']}]"
        print(f"{line}  {row[3]}{note}".rstrip())
