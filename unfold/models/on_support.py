"""A prior that keeps zeros."""

from __future__ import annotations

from torch import Tensor

from unfold.core import Prior


class OnSupport(Prior):
    """``prox(v) · 1[v ≠ 0]``: a prior on images, for a sparse block.

    A denoiser spreads a spot over its surroundings; with `OnSupport`, zeros remain zeros.

    Args:
        prior: prior for the nonzero pixels.
    """

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.prior = prior
        self.accepts_map = prior.accepts_map
        self.differentiable = prior.differentiable
        self.requires_training = prior.requires_training
        self.channels = prior.channels

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return self.prior(v, step) * (v != 0)

    def step_for(self, variance: Tensor) -> Tensor:
        return self.prior.step_for(variance)
