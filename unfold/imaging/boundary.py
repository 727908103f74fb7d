"""Periodic extension of photos, which the FFT requires."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Of the sizes that models pad to, and of where the picture begins in them: networks halve the size
# up to four times, so that none pads again and a pixel is treated alike in a part of the photo.
MULTIPLE = 16


@dataclass(frozen=True)
class Frame:
    """The position of a photo in its padded version."""

    top: int
    left: int
    height: int
    width: int

    @property
    def origin(self) -> tuple[int, int]:
        """Row and column of the first pixel of the photo."""
        return self.top, self.left

    def crop(self, x: Tensor) -> Tensor:
        """The part of ``(..., H, W)`` at the position of the photo."""
        rows = slice(self.top, self.top + self.height)
        return x[..., rows, self.left : self.left + self.width]

    def inside(self, x: Tensor) -> Tensor:
        """The mask of the photo in its padded version ``(..., H, W)``: 1 inside, 0 outside; (1, 1,
        H, W)."""
        mask = x.new_zeros(1, 1, *x.shape[-2:])
        self.crop(mask).fill_(1)
        return mask

    def coarser(self, factor: int) -> Frame:
        """The position in a version that is smaller by a factor, including cells partly inside."""
        top, left = self.top // factor, self.left // factor
        bottom = -(-(self.top + self.height) // factor)
        right = -(-(self.left + self.width) // factor)
        return Frame(top, left, bottom - top, right - left)


def pad_periodic(x: Tensor, margin: tuple[int, int], *, multiple: int = 1) -> tuple[Tensor, Frame]:
    """Pad a photo so that it is one period of a periodic signal.

    Each side is reflected outwards, and the reflections of opposite sides, which are neighbors in
    the periodic signal, are blended smoothly. Sizes are rounded up to lengths with a fast FFT.

    Networks halve the size, and process a pixel according to its position in the grid of their
    coarsest level. With ``multiple``, a photo and a part of it that begins at a multiple have the
    same positions.

    Args:
        x: ``(..., H, W)``.
        margin: smallest number of rows and columns to add at each side: half the size of the
            kernel.
        multiple: the new height and width and the position of the photo are multiples of it.

    Returns:
        The padded photo, and the `Frame` that crops it.
    """
    height, width = x.shape[-2:]
    begins = []
    for axis, size, side in ((-2, height, margin[0]), (-1, width, margin[1])):
        least = -(-side // multiple) * multiple
        extra = fast_length(least + size + side, multiple=multiple) - size
        begins.append(max(least, extra // 2 // multiple * multiple))
        x = _extend(x, axis, extra)
    top, left = begins
    return x.roll((top, left), (-2, -1)), Frame(top, left, height, width)


def fast_length(n: int, *, multiple: int = 1) -> int:
    """The least multiple of ``multiple`` that is >= ``n`` and has no other prime factors than
    2, 3, 5, 7 besides those of ``multiple``."""
    n = -(-n // multiple)
    while not _smooth(n):
        n += 1
    return n * multiple


def _smooth(n: int) -> bool:
    for prime in (2, 3, 5, 7):
        while n % prime == 0:
            n //= prime
    return n == 1


def _extend(x: Tensor, axis: int, extra: int) -> Tensor:
    """Append ``extra`` elements that lead smoothly from the last element back to the first."""
    if extra == 0:
        return x
    size = x.shape[axis]
    j = torch.arange(extra, device=x.device)
    after = x.index_select(axis, mirror(size + j, size))
    before = x.index_select(axis, mirror(j - extra, size))
    t = (j + 1).to(x.dtype) / (extra + 1)
    blend = t * t * (3 - 2 * t)
    if axis == -2:
        blend = blend[:, None]
    return torch.cat((x, torch.lerp(after, before, blend)), axis)


def mirror(index: Tensor, size: int) -> Tensor:
    """Reflect any index into ``[0, size)``: ... 1 0 | 0 1 2 ... size−1 | size−1 ..."""
    index = index % (2 * size)
    return torch.minimum(index, 2 * size - 1 - index)
