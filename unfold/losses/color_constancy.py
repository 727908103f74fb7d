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
    """

    def forward(self, outcome: Outcome) -> Tensor:
        means = outcome.made("image").mean((-2, -1))
        return (means - means.roll(1, dims=1)).square().sum(1).mean()
