"""A photograph as tensors, with what its file needs to be written back alike."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from unfold.errors import UnfoldError


class ImageError(UnfoldError, ValueError):
    """An image file that cannot be read or written.

    The message is one line: the file, what is wrong with it, and what to do about it. A line
    break in a file's name is escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__("".join(c if c.isprintable() else _escaped(c) for c in message))


@dataclass(frozen=True)
class Photo:
    """One photograph.

    ``image`` is always RGB, also where the file was gray: networks want three channels. What
    ``write`` needs to give the file's own kind back stands in the other fields.
    """

    image: Tensor  # (3, H, W) float32 in [0, 1], sRGB-encoded, upright
    alpha: Tensor | None = None  # (1, H, W) float32 in [0, 1], not multiplied into the image
    gray: bool = False  # the file had one color channel; write gives one back
    bits: int = 8  # a sample, 8 or 16
    icc: bytes | None = None  # the file's ICC color profile; carried over, never applied


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
