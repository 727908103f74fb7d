"""Any prior as a reflectance denoiser."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from unfold.core import Prior
from unfold.estimators.roles import ReflectanceDenoiser
from unfold.registry.spec import PriorLike, factory

from .schedule import LARGEST


class PriorDenoiser(ReflectanceDenoiser):
    """One step of a prior, with the noise variance of the reflectance at each pixel.

    ``R -> prox(R, s)``, s the step for the variance ``(σ/L)²`` (see `Prior.step_for`), at most
    0.25². A prior that accepts only one step for each image is given the mean variance.

    Args:
        prior: name or spec, or a function of the number of channels that builds a prior.

    Example:
        >>> import torch
        >>> from unfold.models.prior_denoiser import PriorDenoiser
        >>> noisy = 0.5 + 0.1 * torch.randn(1, 3, 32, 32)
        >>> clean = PriorDenoiser()(noisy, deviation=torch.full((1, 1, 32, 32), 0.1))
        >>> bool(clean.std() < 0.5 * noisy.std())
        True
    """

    def __init__(self, channels: int = 3, *, prior: PriorLike = "total-variation") -> None:
        super().__init__()
        make: Any = factory("priors", prior)
        self.prior: Prior = make(channels)
        self.requires_training = self.prior.requires_training

    def forward(self, reflectance: Tensor, deviation: Tensor) -> Tensor:
        variance = deviation.square().clamp_max(LARGEST)
        if not self.prior.accepts_map:
            variance = variance.mean((1, 2, 3), keepdim=True)
        step = self.prior.step_for(variance).clamp_max(LARGEST)
        return self.prior(reflectance, step)
