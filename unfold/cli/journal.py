"""``unfold journal``: the records of restored folders."""

from __future__ import annotations

import argparse

from ._common import declare


def add(parser: argparse.ArgumentParser) -> None:
    """Merge the journals of restored folders.

    `unfold restore FOLDER` writes a journal into its output folder: one line of JSON for each
    photo, with the SHA-256 of its content, the options of the run, the time, the status and the
    error.

    Example:
        unfold journal merge out/unfold-journal-*.jsonl -o out/unfold-journal.jsonl
    """
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    merge = actions.add_parser("merge", help="merge several journals into one", about=run.__doc__)
    declare(merge, "journals FILE", "journals of shards", nargs="+")
    declare(merge, "-o --output FILE", "the merged journal, in the same folder; may be one of the "
            "journals",
            required=True)  # fmt: skip
    merge.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Merge several journals into one, such as those of all shards.

    Keeps the last record of each photo, and prefers done to failed. The exit status is 1 if a photo
    is not done.

    Example:
        unfold journal merge out/unfold-journal-*.jsonl -o out/unfold-journal.jsonl
    """
    from unfold.restoration.journal import merge_journals

    counts = merge_journals(arguments.journals, arguments.output)
    message = ", ".join(f"{count} {status}" for status, count in counts.items()) or "no photos"
    print(f"wrote {arguments.output}: {message}")
    return 0 if set(counts) <= {"done"} else 1
