"""Low light: too short an exposure, and what the camera's curve makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from .base import Degradation, Parameters
from .chance import IN_ORDER, check_range, columns, uniform
from .lightness import check_lightness, lightness

_RAMP = 5.0  # of lightness


Exposure = Annotated[float, Field(ge=1e-6, le=100)]
Gamma = Annotated[float, Field(ge=0.01, le=100)]


class LowLight(Degradation):
    """Too little light: ``y = e · max(x, 0)^γ`` in linear light.

    ``e`` is the exposure: light adds up over time and over the aperture, so that half the time is
    half of every value. It is exact for what a sensor counts below saturation. What was clipped in
    the photo, a lamp or the sun, was far brighter than white and would still be white: ``lights``
    keeps it as it is.

    ``γ`` is the camera's tone curve: above 1 it presses shadows further down than lights, as a
    curve of high contrast does to an under-exposed photo. A file holds a power of the light
    (``x^(1/2.2)``), and powers commute: ``γ`` on linear values is the same curve as ``γ`` on
    encoded ones, whatever the encoding's own exponent.

    Options:
        exposure: range of ``e``, above 0, drawn evenly.
        gamma: range of ``γ``, above 0, drawn evenly; 1 is no curve.
        lights: the Lab lightness, 0 to 100, above which a pixel is taken for a light and kept; the
            darkening fades out over the 5 below it, so that no contour shows. LEDNet's darkening
            takes 97, without fading (Zhou et al., ECCV 2022, section 3). By default none is.

    Parameters: ``exposure``, ``gamma``, ``(B,)``.
    """

    light = "linear"

    def __init__(
        self,
        *,
        exposure: Annotated[tuple[Exposure, Exposure], IN_ORDER] = (0.05, 0.3),
        gamma: Annotated[tuple[Gamma, Gamma], IN_ORDER] = (1.0, 1.0),
        lights: Annotated[float, Field(ge=0, le=100)] | None = None,
    ) -> None:
        self.exposure = check_range("low-light: exposure", exposure, least=1e-6, most=100)
        self.gamma = check_range("low-light: gamma", gamma, least=0.01, most=100)
        self.lights = lights if lights is None else check_lightness("low-light: lights", lights)

    def sample(self, batch: int, generator: torch.Generator) -> Parameters:
        return {
            "exposure": uniform(batch, self.exposure, generator),
            "gamma": uniform(batch, self.gamma, generator),
        }

    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        exposure, gamma = columns(image, parameters, "exposure", "gamma")
        dark = exposure * image.clamp(min=0) ** gamma
        if self.lights is None:
            return dark
        keep = ((lightness(image) - self.lights) / _RAMP + 1).clamp(0, 1)
        return torch.lerp(dark, image, keep)
