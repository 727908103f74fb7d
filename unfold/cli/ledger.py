"""``unfold ledger``: what became of restored folders."""

from __future__ import annotations

import argparse
from pathlib import Path

from ._common import CommandError


def add(parser: argparse.ArgumentParser) -> None:
    """Merge the ledgers of restored folders."""
    parser.description = (
        "`unfold restore FOLDER` writes a ledger into its output folder: one JSON "
        "object a line for each photo, with its content's SHA-256, the run, time, status, error."
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    merge = actions.add_parser(
        "merge",
        help="one ledger of several, such as those of all shards",
        description="Write one line for each photo: the last that the ledgers say of it; done "
        "counts before failed. Exit status 1 if a photo is not done.",
    )
    merge.add_argument("ledgers", nargs="+", type=Path, metavar="LEDGER")
    merge.add_argument(
        "-o", "--output", required=True, type=Path, metavar="LEDGER",
        help="in the folder of the others; may be one of them",
    )  # fmt: skip
    merge.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from unfold.imaging import ImageError
    from unfold.restoration.file_ledger import merge_ledgers

    try:
        counts = merge_ledgers(arguments.ledgers, arguments.output)
    except ImageError as error:
        raise CommandError(str(error)) from error
    told = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no photos"
    print(f"wrote {arguments.output}: {told}")
    return 0 if set(counts) <= {"done"} else 1
