"""Colors are gray on average."""

from __future__ import annotations

from torch import Tensor

from .base import Loss, Outcome


class ColorConstancy(Loss):
    """Gray world: ``mean_b ((r − g)² + (r − b)² + (g − b)²)``, of each photo's mean r, g and b.

    It needs no target.

    Source: Zero-DCE, of weight 5 in the code that they released: Guo et al., CVPR 2020, equation 6.
    (That code takes the root of the sum of the fourth powers instead, which is up to √3 times
    smaller and has no gradient for a gray photo.)

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
