"""Noise without a model of the camera."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from .base import Degradation, Parameters
from .rng import IN_ORDER, check_range, columns, normal, seeds, uniform

Deviation = Annotated[float, Field(ge=0, le=10)]


class GaussianNoise(Degradation):
    """White noise: ``y = x + N(0, σ²)`` on encoded values.

    It is independent in every pixel and channel. The result is not clipped to [0, 1]. For the noise
    of a camera, see `RawNoise`.

    Options:
        sigma: range of ``σ``; white is 1.

    Parameters: ``sigma``, ``seed``, ``(B,)``.

    Example:
        >>> import torch
        >>> from unfold.degradation import GaussianNoise
        >>> gray, rng = torch.full((1, 3, 64, 64), 0.5), torch.Generator().manual_seed(0)
        >>> noisy = GaussianNoise(sigma=(0.1, 0.1))(gray, generator=rng)
        >>> round(noisy.std().item(), 2)
        0.1
    """

    color_space = "encoded"

    def __init__(
        self, *, sigma: Annotated[tuple[Deviation, Deviation], IN_ORDER] = (0.0, 0.05)
    ) -> None:
        self.sigma = check_range("gaussian-noise: sigma", sigma, least=0, most=10)

    def sample(self, batch: int, generator: torch.Generator) -> Parameters:
        return {
            "sigma": uniform(batch, self.sigma, generator),
            "seed": seeds(batch, generator),
        }

    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        (sigma,) = columns(image, parameters, "sigma")
        return image + sigma * normal(parameters["seed"], *image.shape[1:]).to(image)
