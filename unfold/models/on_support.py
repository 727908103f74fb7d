"""A prior that keeps zeros."""

from __future__ import annotations

from torch import Tensor

from unfold.core import Prior


class OnSupport(Prior):
    """``prox(v) · 1[v ≠ 0]``: a prior of photos for a block that is sparse.

    A denoiser smooths a spot into its surroundings; with this, what is exactly zero stays zero.

    Args:
        prior: that acts where the block is not zero.
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
