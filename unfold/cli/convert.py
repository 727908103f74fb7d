"""``unfold convert``: converts weights that were released by others."""

from __future__ import annotations

import argparse

from ._common import add_options, declare, model_spec


def add(parser: argparse.ArgumentParser) -> None:
    """Convert a model's publicly released weights.

    The model must have a converter. Only tensors are unpickled; a file that does not fit the model
    is refused, and all its errors are listed.

    Example:
        unfold convert lednet lednet.pth -o lednet.safetensors
    """
    declare(parser, "model MODEL", "one of `unfold list models`")
    declare(parser, "file FILE", "the weights as released (.pth)")
    declare(parser, "-o --output FILE", "a new file (.safetensors)", required=True)
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
