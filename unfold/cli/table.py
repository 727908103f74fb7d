"""``unfold table``: prints a paper's table beside your reports."""

from __future__ import annotations

import argparse
import sys

from ._common import declare
from .evaluate import say


def add(parser: argparse.ArgumentParser) -> None:
    """Print a paper's table beside your reports.

    Prints the paper's numbers beside those that `unfold evaluate` measured on the same data set by
    the same protocol. A report that cannot be used is named and left out, and the exit status is
    1.

    Example:
        unfold table jude-1 --reports reports/
    """
    declare(parser, "name NAME", "one of `unfold list tables`")
    declare(parser, "--reports PATH", "reports (.json), or folders with reports (default: none)",
            nargs="+", default=[])  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from unfold.evaluation.found import read_reports
    from unfold.evaluation.table import find_table, render

    table = find_table(arguments.name)
    errors: list[str] = []
    reports = read_reports(arguments.reports, errors)
    for error in errors:
        print(f"unfold: {error}", file=sys.stderr)
    say(render(table, reports))
    return 1 if errors else 0
