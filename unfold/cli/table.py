"""``unfold table``: a paper's table, with our numbers beside it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ._common import CommandError
from .evaluate import say


def add(parser: argparse.ArgumentParser) -> None:
    """Print a paper's table beside our reports."""
    parser.description = (
        "Print a table of a paper, and beside it what `unfold evaluate` measured of "
        "the same data set under the same protocol. Without a name, list the tables. A report that "
        "cannot be used is told and left out; the exit status is then 1."
    )
    parser.add_argument("name", nargs="?", help="e.g. jude-1")
    parser.add_argument(
        "--reports", nargs="+", type=Path, default=[], metavar="PATH",
        help=".json reports, or folders that hold some",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from unfold.evaluation.found import read_reports
    from unfold.evaluation.papers import TABLES
    from unfold.evaluation.table import TableError, find_table, render

    if arguments.name is None:
        width = max(map(len, TABLES))
        for table in TABLES.values():
            print(f"{table.name:<{width}}  {table.title}")
        return 0
    try:
        table = find_table(arguments.name)
    except TableError as error:
        raise CommandError(str(error)) from error
    faults: list[str] = []
    reports = read_reports(arguments.reports, faults)
    for fault in faults:
        print(f"unfold: {fault}", file=sys.stderr)
    say(render(table, reports))
    return 1 if faults else 0
