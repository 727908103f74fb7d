"""A power curve for the illumination."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field
from torch import Tensor

from .illumination import retinex_split
from .noise import thinned
from .roles import IlluminationEnhancer


class PowerCurve(IlluminationEnhancer):
    """``L -> L^γ``, γ in [0.4, 1]: brings the geometric mean of the light to a given brightness.

    γ is estimated from the photo's initial Retinex split; the optimization hardly changes the mean
    of that illumination.

    Args:
        brightness: geometric mean of the result; brighter photos are not changed.

    Source: gamma correction of the illumination, as in LIME (Guo et al., TIP 2017).

    Example:
        >>> import torch
        >>> from unfold.estimators import PowerCurve
        >>> light, _ = PowerCurve(brightness=0.5)(torch.full((1, 1, 8, 8), 0.25))
        >>> light.mean().item()
        0.5
    """

    def __init__(
        self, channels: int = 1, *, brightness: Annotated[float, Field(gt=0, lt=1)] = 0.35
    ) -> None:
        super().__init__()
        self.brightness = brightness

    def forward(self, light: Tensor, scene: Tensor | None = None) -> tuple[Tensor, None]:
        if scene is None:
            scene = _mean_logarithm(light.amax(1, keepdim=True))
        power = (math.log(self.brightness) / scene.clamp_max(-1e-3)).clamp(0.4, 1)
        return light.clamp(0, 1).pow(power), None

    def measure(self, image: Tensor) -> Tensor:
        return _mean_logarithm(retinex_split(thinned(image))[1])


def _mean_logarithm(light: Tensor) -> Tensor:
    return light.clamp(1e-2, 1).log().mean((1, 2, 3), keepdim=True)
