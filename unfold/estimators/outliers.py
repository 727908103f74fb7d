"""Values that stand out of a photo: saturated spots, hot and dead pixels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

_LINES = ((0, 1), (1, 0), (1, 1), (1, -1))  # horizontal, vertical, the two diagonals
_DOUBLING = (1, 2, 2)  # shifts whose minima make that of 6 pixels
_REACH = sum(_DOUBLING)
# A difference is an outlier's above 0.15 plus 5 times the mean of those within 7 pixels, each
# counted as 0.2 at most, so that a large spot does not hide itself.
_LEAST, _ACTIVITY, _RADIUS, _MOST = 0.15, 5.0, 7, 0.2


def find_outliers(image: Tensor) -> Tensor:
    """What is shorter than 6 pixels in every direction and differs from all around it.

    A value that is bright has as its surroundings the opening of the image by lines of 6 pixels
    (the largest of four directions), one that is dark the closing: edges and lines keep their
    values there, spots of up to 5 pixels lose theirs. The difference is an outlier where it exceeds
    0.15 and five times the mean difference within 7 pixels, so that grass is none.

    Args:
        image: photo in [0, 1], ``(B, C, H, W)``. Each channel is judged by itself.

    Returns:
        The image minus its surroundings at outliers, 0 elsewhere, ``(B, C, H, W)``.

    Source: the union of openings by lines is from Soille, "Morphological Image Analysis", 2003; the
    threshold is ours.

    Example::

        >>> import torch
        >>> from unfold.estimators.outliers import find_outliers
        >>> photo = torch.full((1, 1, 16, 16), 0.25)
        >>> photo[..., 8, 8] = 1.0
        >>> find_outliers(photo).nonzero().tolist(), find_outliers(photo).max()
        ([[0, 0, 8, 8]], tensor(0.7500))
    """
    bright, dark = image - _opened(image), image + _opened(-image)
    difference = torch.where(bright > -dark, bright, dark)
    size = difference.abs()
    around = size.clamp_max(_MOST).mean(1, keepdim=True)
    for reach in ((_RADIUS, 0), (0, _RADIUS)):
        side = [2 * r + 1 for r in reach]
        around = avg_pool2d(around, side, 1, reach, count_include_pad=False)
    least = _LEAST + _ACTIVITY * around
    return torch.where(size > least, difference, 0)


def _opened(image: Tensor) -> Tensor:
    """The largest of the openings by lines."""
    openings = []
    for line in _LINES:
        across, down = (_REACH * abs(offset) for offset in reversed(line))
        padded = pad(image, (across, across, down, down), mode="replicate")
        openings.append(_along(torch.maximum, _along(torch.minimum, padded, line), line))
    return torch.stack(openings).amax(0)


def _along(best: Callable[[Tensor, Tensor], Tensor], values: Tensor, line: tuple[int, int]):
    """The least or greatest of 6 values along a line, by doubling."""
    for count in _DOUBLING:
        down, across = (count * offset for offset in line)
        height, width = (n - abs(d) for n, d in zip(values.shape[-2:], (down, across), strict=True))
        left = max(0, -across)
        first = values[..., :height, left : left + width]
        second = values[..., down : down + height, left + across : left + across + width]
        values = best(first, second)
    return values
