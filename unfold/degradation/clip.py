"""Clipping to the range of a file."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .base import Degradation, Parameters
from .rng import check_photos


class Clip(Degradation):
    """Clip to the range of a file: ``y = min(max(x, 0), 1)`` on encoded values.

    A pipeline clips once, after all additions of light and before all steps after the sensor.
    No options, no parameters.

    Example:
        >>> import torch
        >>> from unfold.degradation import Clip
        >>> photo = torch.tensor([-0.5, 0.5, 1.5]).view(1, 3, 1, 1)
        >>> Clip()(photo, generator=torch.Generator()).flatten()
        tensor([0.0000, 0.5000, 1.0000])
    """

    color_space = "encoded"

    def sample(self, batch: int, generator: torch.Generator) -> Parameters:
        return {}

    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        check_photos(image, parameters)
        return image.clamp(0, 1)
