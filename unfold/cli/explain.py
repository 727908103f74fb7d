"""``unfold explain``: prints what a model does, block by block."""

from __future__ import annotations

import argparse

from ._common import add_options, declare, model_spec


def add(parser: argparse.ArgumentParser) -> None:
    """Print a model's blocks, their normal matrices, solvers and order.

    Example:
        unfold explain jude --set K=3 --set prior=ircnn
    """
    declare(parser, "model MODEL", "one of `unfold list models`, or a config (.json, .toml)")
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    print(model_spec(arguments.model, arguments.options).build().explain())
    return 0
