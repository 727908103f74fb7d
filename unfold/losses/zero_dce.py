"""The losses of Zero-DCE, which need no target."""

from __future__ import annotations

import re
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import avg_pool2d

from .base import Loss, LossError, Outcome, at_least

_CELL, _REGION = 4, 16  # sides of what is averaged, in pixels


class SpatialConsistency(Loss):
    """Preserves the contrast between neighboring 4×4 regions of the input (see
    `spatial_consistency`).

    It compares with the input and needs no target. It uses the mean of the channels.

    Raises:
        LossError: if a picture is smaller than 4×4.

    Source: Zero-DCE, with weight 1.

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.losses import Outcome, SpatialConsistency
        >>> photo = torch.rand(1, 3, 16, 16)
        >>> brighter = Outcome(Restoration(photo + 0.25), {"input": photo})
        >>> round(SpatialConsistency()(brighter).item(), 4)
        0.0
    """

    def forward(self, outcome: Outcome) -> Tensor:
        before, after = outcome.picture("input"), outcome.made("image")
        at_least(_CELL, after, "spatial-consistency")
        return spatial_consistency(before.mean(1, keepdim=True), after.mean(1, keepdim=True))


def spatial_consistency(before: Tensor, after: Tensor) -> Tensor:
    """``1/K Σ_i Σ_{j next to i} ((a_i − a_j) − (b_i − b_j))²``: the change of contrast.

    ``a`` and ``b`` are means of 4×4 regions after and before, K their number, ``j`` the regions
    above, below, left and right. ``(B, 1, H, W)`` each, H and W at least 4; a scalar.

    Source: Guo et al., CVPR 2020, equation 4. It prints absolute values of the differences, which
    do not penalize an inverted edge; here they have signs, as in the released code.

    Example:
        >>> import torch
        >>> from unfold.losses import spatial_consistency
        >>> before, after = torch.zeros(1, 1, 4, 8), torch.zeros(1, 1, 4, 8)
        >>> after[..., 4:] = 0.5  # an edge between two regions that was not there
        >>> spatial_consistency(before, after).item()
        0.25
    """
    change = avg_pool2d(after - before, _CELL)
    pairs = change.diff(dim=-1).square().sum() + change.diff(dim=-2).square().sum()
    return 2 * pairs / change.numel()


class Exposure(Loss):
    """Controls the brightness of regions of 16×16 pixels (see `exposure_control`).

    It uses the mean of the channels and needs no target.

    Args:
        level: E, the target of the brightness in [0, 1], in sRGB-encoded values.

    Raises:
        LossError: if a picture is smaller than 16×16.

    Source: Zero-DCE, with weight 10.

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.losses import Exposure, Outcome
        >>> dark = Restoration(torch.full((1, 3, 32, 32), 0.25))
        >>> Exposure(level=0.75)(Outcome(dark, {})).item()  # 0.5²
        0.25
    """

    def __init__(self, *, level: Annotated[float, Field(ge=0, le=1)] = 0.6) -> None:
        super().__init__()
        self.level = level

    def forward(self, outcome: Outcome) -> Tensor:
        image = outcome.made("image")
        at_least(_REGION, image, "exposure")
        return exposure_control(image.mean(1, keepdim=True), self.level)


def exposure_control(after: Tensor, exposure: Tensor | float) -> Tensor:
    """``1/M Σ_k (a_k − e)²`` over the means ``a_k`` of 16×16 regions.

    ``(B, 1, H, W)``, H and W at least 16, and ``e``: a number, or ``(B,)``; a scalar.

    Source: Guo et al., CVPR 2020, equation 5, which prints an absolute value; the square and its
    weight are those of the released code.

    Example:
        >>> import torch
        >>> from unfold.losses import exposure_control
        >>> exposure_control(torch.full((1, 1, 32, 32), 0.5), 0.75).item()
        0.0625
    """
    wanted = exposure[:, None, None, None] if isinstance(exposure, Tensor) else exposure
    return (avg_pool2d(after, _REGION) - wanted).square().mean()


class ColorConstancy(Loss):
    """Gray world: ``mean_b ((r − g)² + (r − b)² + (g − b)²)`` with the mean r, g and b of each
    photo.

    It needs no target.

    Source: Guo et al. (Zero-DCE), CVPR 2020, equation 6, with weight 5 in the released code. (That
    code has the root of the sum of the fourth powers instead, which is up to √3 times smaller and
    has no gradient for a gray photo.)

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.losses import ColorConstancy, Outcome
        >>> red = torch.tensor([0.75, 0.25, 0.25]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
        >>> ColorConstancy()(Outcome(Restoration(red), {})).item()  # 0.5² + 0.5² + 0²
        0.5
    """

    def forward(self, outcome: Outcome) -> Tensor:
        means = outcome.made("image").mean((-2, -1))
        return (means - means.roll(1, dims=1)).square().sum(1).mean()


class CurveSmoothness(Loss):
    """Smoothness of the maps of curve parameters (see `smoothness`). It needs no target.

    The maps are the restoration's parts ``curve_1``, ``curve_2``, ...

    Raises:
        LossError: if the model does not return these parts.

    Source: Zero-DCE, with weight 200 in the released code.

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

    Source: Guo et al., CVPR 2020, equation 7, in the form of the released code, which squares both
    differences separately and sums over the curves; the paper has their mean.

    Example:
        >>> import torch
        >>> from unfold.losses import smoothness
        >>> ramp = torch.arange(4.0).expand(1, 1, 4, 4)  # rises by 1 from column to column
        >>> smoothness(ramp).item()
        2.0
    """
    along, down = (maps.diff(dim=d).square().mean((0, 2, 3)).sum() for d in (-1, -2))
    return 2 * (along + down)
