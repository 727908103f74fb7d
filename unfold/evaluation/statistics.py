"""A mean and its confidence interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES, LEVEL, SEED = 2000, 0.95, 0
METHOD = (
    f"percentile bootstrap of the mean over images, {LEVEL:.0%}, {RESAMPLES} resamples, "
    f"numpy default_rng({SEED})"
)


@dataclass(frozen=True)
class Mean:
    """The mean of finite values, with its interval.

    Attributes:
        mean: the mean; None if there is no finite value.
        low, high: ends of the interval; None for fewer than two values.
        count: number of finite values.
        infinite: number of infinite values (PSNR of identical pictures), which are left out.
    """

    mean: float | None
    low: float | None
    high: float | None
    count: int
    infinite: int


def summarize(values: Sequence[float]) -> Mean:
    """Mean and 95 % interval, by resampling the images with replacement (see `METHOD`).

    The interval describes how the mean varies with other images. Frames of one video are not
    independent, and the interval of such data is too narrow.

    Source: Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.
    """
    every = np.asarray(values, np.float64)
    finite = every[np.isfinite(every)]
    infinite = len(every) - len(finite)
    if len(finite) < 2:
        mean = float(finite[0]) if len(finite) else None
        return Mean(mean, None, None, len(finite), infinite)
    generator = np.random.default_rng(SEED)
    drawn = generator.integers(0, len(finite), (RESAMPLES, len(finite)))
    means = finite[drawn].mean(1)
    low, high = np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Mean(float(finite.mean()), float(low), float(high), len(finite), infinite)
