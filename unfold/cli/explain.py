"""``unfold explain``: what a model does, block by block."""

from __future__ import annotations

import argparse

from ._common import add_options, build_model


def add(parser: argparse.ArgumentParser) -> None:
    """Print a model's blocks, their normal matrices, solvers and order."""
    parser.add_argument(
        "model", metavar="MODEL", help="one of `unfold list models`, or a config (.json, .toml)"
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    print(build_model(arguments.model, arguments.options).explain())
    return 0
