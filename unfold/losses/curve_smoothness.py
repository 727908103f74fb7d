"""Curves change little from pixel to pixel."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from .base import Loss, LossError, Outcome


class CurveSmoothness(Loss):
    """Maps of curve parameters are smooth (see `smoothness`); needs no target.

    The maps are the restoration's parts ``curve_1``, ``curve_2``, ...

    Raises:
        LossError: the model makes no such parts.

    Source: Zero-DCE, of weight 200 in the code that they released.

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.losses import CurveSmoothness, Outcome
        >>> constant = {"curve_1": torch.full((1, 3, 4, 4), 0.3)}
        >>> CurveSmoothness()(Outcome(Restoration(torch.rand(1, 3, 4, 4), constant), {})).item()
        0.0
    """

    def forward(self, outcome: Outcome) -> Tensor:
        parts = outcome.restoration.parts
        curves = [part for name, part in parts.items() if re.fullmatch(r"curve_\d+", name)]
        if not curves:
            have = ", ".join(("image", *parts))
            raise LossError(f"curve-smoothness: the model makes no part 'curve_1'; it makes {have}")
        return smoothness(torch.cat(curves, 1))


def smoothness(maps: Tensor) -> Tensor:
    """``2 Σ_c (mean (∂ₕ m_c)² + mean (∂ᵥ m_c)²)``, means over pixels and images; a scalar.

    ``(B, C, H, W)``, H and W at least 2.

    Source: Guo et al., CVPR 2020, equation 7, in the form of the code that they released, which
    squares both differences apart and sums over the curves, where the paper takes their mean.

    Example:
        >>> import torch
        >>> from unfold.losses import smoothness
        >>> ramp = torch.arange(4.0).expand(1, 1, 4, 4)  # rises by 1 from column to column
        >>> smoothness(ramp).item()
        2.0
    """
    along, down = (maps.diff(dim=d).square().mean((0, 2, 3)).sum() for d in (-1, -2))
    return 2 * (along + down)
