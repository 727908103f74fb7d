"""``unfold kernel``: estimates the kernel of a photo's blur."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from ._common import CommandError, declare

if TYPE_CHECKING:
    from torch import Tensor

    from unfold.estimators.kernel_estimate import KernelEstimate
    from unfold.imaging import Photo


def add(parser: argparse.ArgumentParser) -> None:
    """Estimate the kernel of a photo's blur.

    Estimates the kernel of a shaken photo by blind deconvolution, writes it, and prints its size
    and how well the kernels of the photo's two halves agree. `unfold restore PHOTO --kernel FILE`
    takes the kernel.

    Example:
        unfold kernel shaken.jpg -o kernel.npy --picture kernel.png
    """
    declare(parser, "photo PHOTO", "a PNG, JPEG or TIFF photo")
    declare(parser, "-o --output FILE", "the kernel (.npy)", required=True)
    declare(parser, "--picture FILE", "also write the kernel as a picture (.png, .tif, .jpg), with "
            "its largest entry white")  # fmt: skip
    declare(parser, "--size N", "side of the kernel in pixels, odd (default: 31, or more if "
            "the blur is wider)", type=odd)  # fmt: skip
    parser.set_defaults(run=run)


def odd(text: str) -> int:
    if not text.isdecimal() or not 3 <= int(text) <= 255 or int(text) % 2 == 0:
        raise argparse.ArgumentTypeError(f"must be an odd number from 3 to 255, got {text!r}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    import torch

    from unfold.estimators.kernel_estimate import estimate_kernel
    from unfold.imaging import ImageError, read, write
    from unfold.imaging.io import encode
    from unfold.restoration.kernel_file import write_kernel

    if arguments.output.suffix.lower() != ".npy":
        raise CommandError(
            f"{arguments.output}: use a name that ends in .npy, the kernel is an array"
        )
    same = os.path.realpath(arguments.photo)
    if arguments.picture and os.path.realpath(arguments.picture) == same:
        raise CommandError(f"{arguments.picture}: is the photo itself; choose another name")
    try:
        if arguments.picture:
            encode(arguments.picture, _picture(torch.ones(1, 1, 1, 1)))  # (refuses a bad name)
        estimate = estimate_kernel(read(arguments.photo).image[None], arguments.size)
        write_kernel(arguments.output, estimate.kernel)
        if arguments.picture:
            write(arguments.picture, _picture(estimate.kernel))
    except (ImageError, ValueError) as error:
        raise CommandError(str(error)) from error
    print(f"{arguments.output}: {sentence(estimate)}")
    return 0


def _picture(kernel: Tensor) -> Photo:
    from unfold.imaging import Photo

    return Photo((kernel / kernel.max())[0].expand(3, -1, -1).contiguous(), gray=True)


def sentence(estimate: KernelEstimate) -> str:
    """A kernel estimate in one line."""
    if estimate.sharp:
        return "1×1: the photo shows no blur that one kernel describes"
    n = estimate.kernel.shape[-1]
    sure = "sure" if estimate.sure else "not sure: the blur may differ across the photo"
    return f"{n}×{n}, {sure} (the photo's halves agree by {estimate.agreement:.2f} of 1)"
