"""``unfold table``: a paper's table, with our numbers beside it."""

from __future__ import annotations

import argparse
import sys

from ._common import declare
from .evaluate import say


def add(parser: argparse.ArgumentParser) -> None:
    """Print a paper's table beside our reports.

    Beside the printed numbers stand those that `unfold evaluate` measured of the same data set
    under the same protocol. A report that cannot be used is named and left out; the exit status is
    then 1.

    Example:
        unfold table jude-1 --reports reports/
    """
    declare(parser, "name NAME", "one of `unfold list tables`")
    declare(parser, "--reports PATH", "reports (.json), or folders that hold some (default: none)",
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
