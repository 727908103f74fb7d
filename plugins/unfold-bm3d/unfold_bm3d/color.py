"""Color images in BM3D's opponent space."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Intensity, red against blue, green against both.
OPPONENT = np.array([[1 / 3, 1 / 3, 1 / 3], [0.5, 0, -0.5], [0.25, -0.5, 0.25]])


def filter_color(
    image: np.ndarray, sigma: float, bm3d: Callable[[np.ndarray, list[float]], np.ndarray]
) -> np.ndarray:
    """What `bm3d.bm3d_rgb` does, for every image.

    A gray image held in three channels has constant differences of color: `bm3d_rgb` divides by
    their range, zero, and returns NaN. And where the intensity comes out constant, bm3d returns
    no matched blocks for the colors to follow, and fails.

    Args:
        image: ``(H, W, 3)``.
        sigma: standard deviation of the noise in each channel.
        bm3d: filters an image, given a standard deviation for each channel.
    """
    opponent = image @ OPPONENT.T
    low = opponent.min((0, 1))
    span = opponent.max((0, 1)) - low
    constant = span < 1e-8  # but for rounding
    span[constant] = 1
    noise = sigma * np.linalg.norm(OPPONENT, axis=1) / span
    scaled = np.where(constant, 0, (opponent - low) / span)
    try:
        filtered = bm3d(scaled, list(noise))
    except ValueError:  # no matched blocks: each channel for itself
        alone = [bm3d(scaled[..., i], [noise[i]]) for i in range(3)]
        filtered = np.stack(alone, -1)
    return (filtered * span + low) @ np.linalg.inv(OPPONENT).T
