"""``unfold convert``: released weights of others, for a model here."""

from __future__ import annotations

import argparse
from pathlib import Path

from ._common import add_options, model_spec


def add(parser: argparse.ArgumentParser) -> None:
    """Convert a model's publicly released weights.

    For models that have a converter. Only tensors are unpickled; a file that does not fit the
    model is refused, and its faults are listed.

    Example:
        unfold convert lednet lednet.pth -o lednet.safetensors
    """
    parser.add_argument("model", metavar="MODEL", help="one of `unfold list models`")
    parser.add_argument("file", metavar="FILE", type=Path, help="the weights as released (.pth)")
    parser.add_argument(
        "-o", "--output", required=True, type=Path, metavar="FILE", help="new (.safetensors)"
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from unfold.models.convert import convert

    about = convert(
        model_spec(arguments.model, arguments.options), arguments.file, arguments.output
    )
    print(
        f"{arguments.output}: weights of {about['spec']['kind']} ({about['provider']}), from "
        f"{about['source']['file']}, sha256 {about['source']['sha256']}"
    )
    return 0
