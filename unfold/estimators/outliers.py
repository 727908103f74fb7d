"""Outliers of a photo: saturated spots, hot and dead pixels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

_LINES = ((0, 1), (1, 0), (1, 1), (1, -1))  # horizontal, vertical, the two diagonals
_DOUBLING = (1, 2, 2)  # shifts by which minima of 2 pixels are combined to minima of 6
_REACH = sum(_DOUBLING)
# The threshold of a difference is 0.15 plus 5 times the mean difference within 7 pixels. Each
# difference is limited to 0.2 in this mean, so that a large spot does not raise its own threshold.
_LEAST, _ACTIVITY, _RADIUS, _MOST = 0.15, 5.0, 7, 0.2


def find_outliers(image: Tensor) -> Tensor:
    """Detect spots of less than 6 pixels that differ from their surroundings.

    The surroundings of a bright pixel are the opening of the image by lines of 6 pixels (the
    largest of four directions), those of a dark pixel the closing: edges and lines keep their
    values, and spots of up to 5 pixels do not. A pixel is an outlier if its difference from the
    surroundings exceeds 0.15 plus five times the mean difference within 7 pixels, so that fine
    texture is not detected.

    Args:
        image: photo in [0, 1], ``(B, C, H, W)``. Each channel is processed independently.

    Returns:
        At outliers, the image minus its surroundings; 0 elsewhere, ``(B, C, H, W)``.

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
    """The smallest or largest of 6 values along a line, by doubling."""
    for count in _DOUBLING:
        down, across = (count * offset for offset in line)
        height, width = (n - abs(d) for n, d in zip(values.shape[-2:], (down, across), strict=True))
        left = max(0, -across)
        first = values[..., :height, left : left + width]
        second = values[..., down : down + height, left + across : left + across + width]
        values = best(first, second)
    return values
