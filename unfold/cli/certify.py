"""``unfold certify``: the known properties of a model's rounds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ._common import (
    CommandError,
    add_device,
    add_options,
    add_output,
    check_output,
    declare,
    find_device,
    kernel_for,
    model_spec,
    positive_int,
    put,
    ready,
)

if TYPE_CHECKING:
    from torch import Tensor


def add(parser: argparse.ArgumentParser) -> None:
    """Report proven and measured properties of a model's rounds.

    Reports whether the last round, repeated, contracts near the state that it reaches; how much
    each prior can amplify an error; and whether the Lagrangian descends. Measures the middle of
    each photo and reports the worst value. Without photos, reports only what can be proven.

    Example:
        unfold certify tv-deblur photo.jpg
    """
    declare(parser, "model MODEL", "one of `unfold list models`, or a config (.json, .toml)")
    declare(parser, "photos PHOTO", "PNG, JPEG or TIFF photos", nargs="*")
    declare(parser, "--kernel FILE", "the kernel of the blur, as for `unfold restore` (default: "
            "the model estimates the blur)")  # fmt: skip
    declare(parser, "--size N", "measure on the middle N×N pixels of each photo", default=128,
            type=positive_int)  # fmt: skip
    add_output(parser, "the report")
    add_device(parser)
    add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from unfold import certify

    check_output(arguments.output)
    device = find_device(arguments.device)
    spec = model_spec(arguments.model, arguments.options, pretrained=True)
    model = ready(arguments.model, spec.build()).to(device)
    if not arguments.photos:
        put(f"{certify(model)}\n", arguments.output)
        return 0
    photos = middles(arguments.photos, arguments.size).to(device)
    kernel = kernel_for(arguments.model, model, arguments.kernel)
    kernel = None if kernel is None else kernel.to(device)
    try:
        report = certify(model, photos, kernel=kernel)
    except (RuntimeError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CommandError(f"{arguments.model} failed ({reason[:300]})") from error
    put(f"{report}\n", arguments.output)
    return 0


def middles(paths: list[Path], size: int) -> Tensor:
    """The middle of each photo, all of the same size, ``(B, 3, h, w)``."""
    import torch

    from unfold.imaging import read

    images = [read(path).image for path in paths]
    height, width = (min(size, *(image.shape[axis] for image in images)) for axis in (1, 2))
    cropped: list[Tensor] = []
    for image in images:
        top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
        cropped.append(image[:, top : top + height, left : left + width])
    return torch.stack(cropped)
