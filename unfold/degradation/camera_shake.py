"""Camera shake: the camera moves during the exposure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from .base import Degradation, Parameters
from .blur import blur
from .kernels import STEPS, kernel_size, motion_kernels
from .rng import IN_ORDER, Pixels, check_photos, check_range, normal, seeds, uniform

Turns = Annotated[float, Field(ge=0, le=100)]


class CameraShake(Degradation):
    """Uniform blur by a shaking camera: ``y = H ⊗ x`` in linear light.

    ``H`` is the path of the camera (`unfold.degradation.kernels.motion_kernels`), drawn for each
    photo from its seed. The photo is mirrored at its borders.

    Options:
        extent: largest distance of the path from its centroid, in pixels; the streak of a
            point is up to twice as long. 0 leaves the photo as it is.
        turns: exposure time over the correlation time of the hand's velocity: 0 gives straight
            streaks of even brightness, 1 bent ones, 6 tangles.

    Parameters: ``seed``, ``extent``, ``turns``, each ``(B,)``.

    Example:
        >>> import torch
        >>> from unfold.degradation import CameraShake
        >>> shake = CameraShake(extent=(5.0, 5.0))
        >>> drawn = shake.sample(1, torch.Generator().manual_seed(0))
        >>> kernel = shake.kernel(drawn)
        >>> kernel.shape, round(kernel.sum().item(), 6)
        (torch.Size([1, 1, 13, 13]), 1.0)
        >>> shake.apply(torch.rand(1, 3, 32, 32), drawn).shape
        torch.Size([1, 3, 32, 32])
    """

    color_space = "linear"

    def __init__(
        self,
        *,
        extent: Annotated[tuple[Pixels, Pixels], IN_ORDER] = (3.0, 15.0),
        turns: Annotated[tuple[Turns, Turns], IN_ORDER] = (0.5, 6.0),
    ) -> None:
        self.extent = check_range("camera-shake: extent", extent, least=0, most=500)
        self.turns = check_range("camera-shake: turns", turns, least=0, most=100)

    def sample(self, batch: int, generator: torch.Generator) -> Parameters:
        return {
            "seed": seeds(batch, generator),
            "extent": uniform(batch, self.extent, generator),
            "turns": uniform(batch, self.turns, generator),
        }

    def kernel(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """``H`` of each photo, ``(B, 1, size, size)`` float64 on the device of the parameters, sum
        1; ``size`` is odd and sufficient for all."""
        noise = normal(parameters["seed"], STEPS, 2, dtype=torch.float64)
        extent = parameters["extent"]
        return motion_kernels(noise, extent, parameters["turns"], kernel_size(extent))

    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        check_photos(image, parameters)
        return blur(image, self.kernel(parameters).to(image))
