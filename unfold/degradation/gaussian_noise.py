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
    """White noise of the same strength everywhere: ``y = x + N(0, σ²)`` on encoded values.

    Independent in every pixel and channel. It is not clipped: values leave [0, 1]. `RawNoise` is
    what a camera does.

    Options:
        sigma: range of ``σ``; white is 1.

    Parameters: ``sigma``, ``seed``, ``(B,)``.
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
