"""``unfold convert``: weights that others released, for a model here."""

from __future__ import annotations

import argparse
from pathlib import Path

from ._common import add_options, model_spec


def add(parser: argparse.ArgumentParser) -> None:
    """Convert a model's publicly released weights."""
    parser.description = (
        "Convert the released weights of a model that has a converter. Nothing but "
        "tensors is unpickled; a file that does not fit is refused, with what is wrong in it."
    )
    parser.add_argument("model", metavar="MODEL", help="one of `unfold list models`")
    parser.add_argument("file", metavar="FILE", type=Path, help="as released (.pth)")
    parser.add_argument("output", metavar="OUT", type=Path, help="a new .safetensors file")
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
