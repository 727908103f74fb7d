"""``unfold explain``: what a model does, block by block."""

from __future__ import annotations

import argparse


def add(commands) -> None:
    parser = commands.add_parser(
        "explain", help="print a model's blocks, their normal matrices, solvers and order"
    )
    parser.add_argument("model", metavar="MODEL", help="one of `unfold list models`")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    import unfold

    print(unfold.create_model(arguments.model).explain())
    return 0
