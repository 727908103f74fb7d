"""Clipping: a file holds nothing brighter than white."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .base import Degradation, Parameters
from .rng import check_photos


class Clip(Degradation):
    """Cut off what a file cannot hold: ``y = min(max(x, 0), 1)`` on encoded values.

    A pipeline clips once, after all that adds up light and before what follows the sensor.
    No options, no parameters.
    """

    color_space = "encoded"

    def sample(self, batch: int, generator: torch.Generator) -> Parameters:
        return {}

    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        check_photos(image, parameters)
        return image.clamp(0, 1)
