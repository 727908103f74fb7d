"""The asymmetric generalized Gaussian distribution, fitted by its moments."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class AGGD(NamedTuple):
    """Shape ``alpha``, and the scales ``left`` and ``right`` of zero (``β_l``, ``β_r``).

    The density at x is proportional to ``exp(−(|x| / β)^α)``, with β_l for negative x and β_r
    for others.
    """

    alpha: Tensor
    left: Tensor
    right: Tensor

    @property
    def mean(self) -> Tensor:
        """``(β_r − β_l) Γ(2/α) / Γ(1/α)``."""
        inverse = 1 / self.alpha
        return (self.right - self.left) * (torch.lgamma(2 * inverse) - torch.lgamma(inverse)).exp()


def fit_aggd(samples: Tensor) -> AGGD:
    """Match moments: ``(..., n)`` samples to ``(...)`` parameters, NaN where a side is empty.

    With ``γ = σ_l / σ_r`` the deviations of the two sides, α solves ``Γ(2/α)² / (Γ(1/α) Γ(3/α)) =
    (mean |x|)² / mean x² · (γ³ + 1)(γ + 1) / (γ² + 1)²``, to the nearest of 0.2, 0.201, ..., 10, as
    the released implementations do.

    Source: Lasmar, Stitou, Berthoumieu, "Multiscale skewed heavy tailed model for texture
    analysis", ICIP 2009.
    """
    left = _deviation(samples, samples < 0)
    right = _deviation(samples, samples > 0)
    ratio = left / right
    moments = samples.abs().mean(-1).square() / samples.square().mean(-1)
    target = moments * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1).square()
    grid = torch.arange(200, 10_001, dtype=samples.dtype, device=samples.device) / 1000
    inverse = 1 / grid
    levels = torch.exp(
        2 * torch.lgamma(2 * inverse) - torch.lgamma(inverse) - torch.lgamma(3 * inverse)
    )
    above = torch.searchsorted(levels, target.contiguous()).clamp(1, len(grid) - 1)
    closer_below = target - levels[above - 1] <= levels[above] - target
    alpha = grid[above - closer_below.long()]
    alpha = torch.where(target.isnan(), target, alpha)
    scale = torch.exp((torch.lgamma(1 / alpha) - torch.lgamma(3 / alpha)) / 2)
    return AGGD(alpha, left * scale, right * scale)


def _deviation(samples: Tensor, side: Tensor) -> Tensor:
    """The root of the mean square of the samples on one side of zero."""
    return ((samples * side).square().sum(-1) / side.sum(-1)).sqrt()
