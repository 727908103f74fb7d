"""Low light: a short exposure and a tone curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from .base import Degradation, Parameters
from .color_space import check_lightness, lightness
from .rng import IN_ORDER, check_range, columns, uniform

_RAMP = 5.0  # of lightness


Exposure = Annotated[float, Field(ge=1e-6, le=100)]
Gamma = Annotated[float, Field(ge=0.01, le=100)]


class LowLight(Degradation):
    """Too little light: ``y = e · max(x, 0)^γ`` in linear light.

    ``e`` is the exposure: light is proportional to exposure time and aperture area, so half the
    time halves every value. This is exact for a sensor below saturation. Highlights that are
    clipped in the photo (a lamp, the sun) were far brighter than white and would remain white:
    ``preserve_highlights`` leaves them unchanged.

    ``γ`` is the camera's tone curve: above 1 it darkens shadows more than highlights, as a
    high-contrast curve does to an under-exposed photo. An encoded value is a power of linear light
    (``x^(1/2.2)``), and powers commute: ``γ`` on linear values is the same curve as ``γ`` on
    encoded ones, for any exponent of the encoding.

    Options:
        exposure: range of ``e``, above 0, drawn evenly.
        gamma: range of ``γ``, above 0, drawn evenly; 1 is no curve.
        preserve_highlights: CIELAB lightness, 0 to 100, above which a pixel is left unchanged; the
            darkening fades out over the 5 below it, to avoid contours. LEDNet's synthesis uses 97,
            without fading (Zhou et al., ECCV 2022, section 3). None: every pixel is darkened.

    Parameters: ``exposure``, ``gamma``, ``(B,)``.

    Example:
        >>> import torch
        >>> from unfold.degradation import LowLight
        >>> dark = LowLight(exposure=(0.25, 0.25))
        >>> dark(torch.ones(1, 3, 1, 1), generator=torch.Generator()).flatten()
        tensor([0.2500, 0.2500, 0.2500])
    """

    color_space = "linear"

    def __init__(
        self,
        *,
        exposure: Annotated[tuple[Exposure, Exposure], IN_ORDER] = (0.05, 0.3),
        gamma: Annotated[tuple[Gamma, Gamma], IN_ORDER] = (1.0, 1.0),
        preserve_highlights: Annotated[float, Field(ge=0, le=100)] | None = None,
    ) -> None:
        self.exposure = check_range("low-light: exposure", exposure, least=1e-6, most=100)
        self.gamma = check_range("low-light: gamma", gamma, least=0.01, most=100)
        if preserve_highlights is not None:
            check_lightness("low-light: preserve_highlights", preserve_highlights)
        self.preserve_highlights = preserve_highlights

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
        if self.preserve_highlights is None:
            return dark
        keep = ((lightness(image) - self.preserve_highlights) / _RAMP + 1).clamp(0, 1)
        return torch.lerp(dark, image, keep)
