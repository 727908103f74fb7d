"""Contrast between neighboring regions stays as it was."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import avg_pool2d

from .base import Loss, Outcome, at_least

_REGION = 4


class SpatialConsistency(Loss):
    """Contrast between neighboring 4×4 regions of the input stays (see `spatial_consistency`).

    It compares with the input and needs no target. Of color, the mean of the channels is taken.

    Raises:
        LossError: a picture smaller than 4×4.

    Source: Zero-DCE, of weight 1 there.

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
        at_least(_REGION, after, "spatial-consistency")
        return spatial_consistency(before.mean(1, keepdim=True), after.mean(1, keepdim=True))


def spatial_consistency(before: Tensor, after: Tensor) -> Tensor:
    """``1/K Σ_i Σ_{j next to i} ((a_i − a_j) − (b_i − b_j))²``: contrast between neighbors stays.

    ``a`` and ``b`` are means of 4×4 regions after and before, K their number, ``j`` the regions
    above, below, left and right. ``(B, 1, H, W)`` each, H and W at least 4; a scalar.

    Source: Guo et al., CVPR 2020, equation 4, which prints the differences as absolute values and
    so would let an edge turn over; here they have signs, as in the code that they released.

    Example:
        >>> import torch
        >>> from unfold.losses import spatial_consistency
        >>> before, after = torch.zeros(1, 1, 4, 8), torch.zeros(1, 1, 4, 8)
        >>> after[..., 4:] = 0.5  # an edge between two regions that was not there
        >>> spatial_consistency(before, after).item()
        0.25
    """
    change = avg_pool2d(after - before, _REGION)
    pairs = change.diff(dim=-1).square().sum() + change.diff(dim=-2).square().sum()
    return 2 * pairs / change.numel()
