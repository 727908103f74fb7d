"""``unfold ledger``: what became of restored folders."""

from __future__ import annotations

import argparse

from ._common import declare


def add(parser: argparse.ArgumentParser) -> None:
    """Merge the ledgers of restored folders.

    `unfold restore FOLDER` writes a ledger into its output folder: a line of JSON for each photo,
    with the SHA-256 of its content, the options of the run, the time, the status and the error.

    Example:
        unfold ledger merge out/unfold-ledger-*.jsonl -o out/unfold-ledger.jsonl
    """
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    merge = actions.add_parser("merge", help="write one ledger of several", about=run.__doc__)
    declare(merge, "ledgers FILE", "ledgers of shards", nargs="+")
    declare(merge, "-o --output FILE", "in the same folder; may be one of those merged",
            required=True)  # fmt: skip
    merge.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write one ledger of several, such as those of all shards.

    It has one line for each photo: the last that the ledgers have, where done counts before failed.
    The exit status is 1 if a photo is not done.

    Example:
        unfold ledger merge out/unfold-ledger-*.jsonl -o out/unfold-ledger.jsonl
    """
    from unfold.restoration.file_ledger import merge_ledgers

    counts = merge_ledgers(arguments.ledgers, arguments.output)
    told = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no photos"
    print(f"wrote {arguments.output}: {told}")
    return 0 if set(counts) <= {"done"} else 1
