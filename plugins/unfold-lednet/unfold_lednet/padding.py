"""Padding to sizes that can be halved three times."""

from __future__ import annotations

import torch
from torch import Tensor


def reflect_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Reflect ``(..., H, W)`` at the right and bottom until both sides are multiples.

    The last row and column are not repeated: ``0 1 2 | 1 0 1 ...``. For a photo that is smaller
    than the padding the reflection continues periodically (`torch.nn.functional.pad` refuses this).
    """
    for axis in (-2, -1):
        size = x.shape[axis]
        missing = -size % multiple
        if missing:
            period = max(2 * size - 2, 1)
            index = torch.arange(size + missing, device=x.device) % period
            x = x.index_select(axis, torch.minimum(index, period - index))
    return x
