"""BM3D of color images, in its opponent color space."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Intensity, red minus blue, green minus both.
OPPONENT = np.array([[1 / 3, 1 / 3, 1 / 3], [0.5, 0, -0.5], [0.25, -0.5, 0.25]])


def filter_color(
    image: np.ndarray, sigma: float, bm3d: Callable[[np.ndarray, list[float]], np.ndarray]
) -> np.ndarray:
    """The result of `bm3d.bm3d_rgb`, for every image.

    The color differences of a gray image in three channels are constant: `bm3d_rgb` divides by
    their range, which is zero, and returns NaN. If the intensity is constant, bm3d returns no
    matched blocks for the colors, and fails.

    Args:
        image: ``(H, W, 3)``.
        sigma: standard deviation of the noise in each channel.
        bm3d: function that filters an image, given a standard deviation for each channel.
    """
    opponent = image @ OPPONENT.T
    low = opponent.min((0, 1))
    span = opponent.max((0, 1)) - low
    constant = span < 1e-8  # up to rounding
    span[constant] = 1
    noise = sigma * np.linalg.norm(OPPONENT, axis=1) / span
    scaled = np.where(constant, 0, (opponent - low) / span)
    try:
        filtered = bm3d(scaled, list(noise))
    except ValueError:  # no matched blocks: filter each channel independently
        alone = [bm3d(scaled[..., i], [noise[i]]) for i in range(3)]
        filtered = np.stack(alone, -1)
    return (filtered * span + low) @ np.linalg.inv(OPPONENT).T
