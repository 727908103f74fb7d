"""``unfold explain``: prints what a model does, block by block."""

from __future__ import annotations

import argparse

from ._common import add_options, add_output, check_output, declare, model_spec, put


def add(parser: argparse.ArgumentParser) -> None:
    """Print a model's blocks, their normal matrices, solvers and order.

    Example:
        unfold explain jude --set K=3 --set prior=ircnn
    """
    declare(parser, "model MODEL", "one of `unfold list models`, or a config (.json, .toml)")
    add_output(parser, "the text")
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    check_output(arguments.output)
    text = model_spec(arguments.model, arguments.options).build().explain()
    put(f"{text}\n", arguments.output)
    return 0
