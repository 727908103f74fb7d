"""Blur kernels."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def motion_kernel(
    size: int = 31, *, extent: float | None = None, generator: torch.Generator | None = None
) -> Tensor:
    """The path of a shaking camera during one exposure, ``(1, 1, size, size)`` float32, sum 1.

    The hand's velocity is a random walk that is pulled back to rest (an Ornstein-Uhlenbeck
    process); its integral, centred on its centroid and scaled to the extent, is drawn with
    bilinear weights. After Boracchi and Foi, "Modeling the performance of image restoration from
    motion blur", IEEE TIP 2012, without their rare jerks.

    Args:
        size: side in pixels, odd or even, at least 3.
        extent: the furthest that the path goes from its centroid, in pixels; at most, and by
            default, what fits.
        generator: for a repeatable path.
    """
    fits = (size - 1) // 2 - 0.5
    extent = fits if extent is None else extent
    if size < 3 or not 0 < extent <= fits:
        raise ValueError(
            f"motion_kernel(size={size}, extent={extent}): size must be at least 3 and extent "
            f"in (0, {max(fits, 0.5)}]"
        )
    steps = 2000
    noise = torch.randn(steps, 2, generator=generator, dtype=torch.float64)
    memory = math.exp(-6 / steps)  # the hand forgets its direction about six times an exposure
    velocity = torch.zeros_like(noise)
    velocity[0] = noise[0]
    for i in range(1, steps):
        velocity[i] = memory * velocity[i - 1] + math.sqrt(1 - memory**2) * noise[i]
    path = velocity.cumsum(0)
    path -= path.mean(0)
    path *= extent / path.norm(dim=1).max()
    return _splat(path + size // 2, size).float()[None, None]


def _splat(points: Tensor, size: int) -> Tensor:
    """Points ``(N, 2)`` in pixels, drawn with bilinear weights on a grid; sum 1."""
    corner = points.floor().long()
    fraction = points - corner
    kernel = torch.zeros(size * size, dtype=points.dtype)
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (fraction[:, 0] - (1 - dy)).abs() * (fraction[:, 1] - (1 - dx)).abs()
            index = (corner[:, 0] + dy) * size + corner[:, 1] + dx
            kernel.index_add_(0, index, weight)
    return kernel.view(size, size) / len(points)
