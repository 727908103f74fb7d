"""``unfold table``: a paper's table beside your reports."""

from __future__ import annotations

import argparse
import sys

from ._common import add_output, check_output, declare, put


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
    add_output(parser, "the table as Markdown")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from unfold.evaluation.found import read_reports
    from unfold.evaluation.table import find_table, render

    check_output(arguments.output)
    table = find_table(arguments.name)
    errors: list[str] = []
    reports = read_reports(arguments.reports, errors)
    for error in errors:
        print(f"unfold: {error}", file=sys.stderr)
    put(render(table, reports), arguments.output)
    return 1 if errors else 0
