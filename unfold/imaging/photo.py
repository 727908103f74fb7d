"""A photo as tensors, with the properties of its file, and its reduction in size."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import interpolate

from unfold._files import one_line
from unfold.errors import UnfoldError


class ImageError(UnfoldError, ValueError):
    """Raised if an image file cannot be read or written.

    The message is one line with the file, the error and the remedy. Line breaks in the name of the
    file are escaped.

    Example:
        >>> from unfold.imaging import read
        >>> read("nowhere.png")
        Traceback (most recent call last):
            ...
        unfold.imaging.photo.ImageError: nowhere.png: cannot be read ...
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


@dataclass(frozen=True)
class Photo:
    """One photograph.

    Attributes:
        image: ``(3, H, W)`` float32 in [0, 1], RGB (also for a gray file), sRGB-encoded, upright.
        alpha: ``(1, H, W)`` float32 in [0, 1], not multiplied into the image; None: opaque.
        gray: whether the file has one channel, and `write` writes one.
        bits: number of bits of a sample, 8 or 16.
        icc: the file's ICC color profile, which is kept and never applied.

    Example:
        >>> import torch
        >>> from unfold.imaging import Photo
        >>> photo = Photo(torch.rand(3, 480, 640), bits=16)
        >>> photo.image.shape, photo.gray, photo.alpha is None
        (torch.Size([3, 480, 640]), False, True)
    """

    image: Tensor
    alpha: Tensor | None = None
    gray: bool = False
    bits: int = 8
    icc: bytes | None = None


def shrink(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale a photo ``(C, H, W)``, or several ``(N, C, H, W)``, down to the size ``(h, w)``.

    Bicubic with a low-pass filter against aliasing; the result is in [0, 1].
    """
    # Not kornia's resize: its low-pass is a Gaussian (values move by up to 0.2), and slower.
    batch = image if image.ndim == 4 else image[None]
    small = interpolate(batch, size, mode="bicubic", antialias=True).clamp(0, 1)
    return small if image.ndim == 4 else small[0]
