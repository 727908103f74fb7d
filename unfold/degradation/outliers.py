"""Outliers: pixels whose values are independent of the scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import pad

from .base import Degradation, Parameters
from .rng import IN_ORDER, Share, check_photos, check_range, even, seeds, uniform

_LARGEST_RADIUS = 16.0
Radius = Annotated[float, Field(ge=0, le=_LARGEST_RADIUS)]


class Outliers(Degradation):
    """Saturated spots, hot pixels and dead pixels, in random places.

    Each pixel is the center of an outlier with the same small probability. An outlier is a
    saturated spot, a disc that is white in all channels; or a hot pixel, white in one channel; or
    a dead pixel, black in one channel. Hot and dead ones are equally frequent. White is 1; values
    above it stay.

    Outliers belong to the sensor: apply them after the blur. (For light sources in the scene, which
    are blurred, see `ClippingReverse`.) The planted error is the difference of the pictures after
    and before this step, exactly 0 elsewhere: save both for the loss ``sparse-error``.

    Options:
        density: range of the probability that a pixel is the center of an outlier.
        spots: range of the share of outliers that are saturated spots.
        radius: range of the radius of a spot in pixels, drawn for each spot; a pixel belongs to
            the spot if its center is no farther than that. Below 1 it is a single pixel.

    Parameters: ``density``, ``spots``, ``seed``, each ``(B,)``.

    Example:
        >>> import torch
        >>> from unfold.degradation import Outliers
        >>> gray, rng = torch.full((1, 3, 64, 64), 0.5), torch.Generator().manual_seed(0)
        >>> spoiled = Outliers(density=(0.01, 0.01))(gray, generator=rng)
        >>> spoiled.unique()
        tensor([0.0000, 0.5000, 1.0000])
    """

    color_space = "encoded"

    def __init__(
        self,
        *,
        density: Annotated[tuple[Share, Share], IN_ORDER] = (1e-4, 1e-3),
        spots: Annotated[tuple[Share, Share], IN_ORDER] = (0.3, 0.7),
        radius: Annotated[tuple[Radius, Radius], IN_ORDER] = (0.5, 2.5),
    ) -> None:
        self.density = check_range("outliers: density", density, least=0, most=1)
        self.spots = check_range("outliers: spots", spots, least=0, most=1)
        self.radius = check_range("outliers: radius", radius, least=0, most=_LARGEST_RADIUS)

    def sample(self, batch: int, generator: torch.Generator) -> Parameters:
        return {
            "density": uniform(batch, self.density, generator),
            "spots": uniform(batch, self.spots, generator),
            "seed": seeds(batch, generator),
        }

    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        check_photos(image, parameters)
        if not len(image):
            return image.clone()
        white, black = (m.to(image.device) for m in self._masks(parameters, image.shape[-2:]))
        return torch.where(white, image.clamp_min(1), image.masked_fill(black, 0))

    def _masks(
        self, parameters: Mapping[str, Tensor], size: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        """Which values become white and which black, ``(B, 3, H, W)`` each."""
        rng = even(parameters["seed"], 4, *size)
        density, spots, hot_below = (
            value.to(rng.dtype).view(-1, 1, 1)
            for value in (
                parameters["density"],
                parameters["spots"],
                (1 + parameters["spots"]) / 2,
            )
        )
        center, kind, width, channel = rng.unbind(1)
        outlier = center < density
        spot = outlier & (kind < spots)
        hot = outlier & (kind >= spots) & (kind < hot_below)
        dead = outlier & (kind >= hot_below)
        channels = torch.arange(3, device=rng.device)[:, None, None]
        one = (channel * 3).long()[:, None] == channels
        low, high = self.radius
        radii = torch.where(spot, low + (high - low) * width, -1.0)
        return hot[:, None] & one | discs(radii)[:, None], dead[:, None] & one


def discs(radii: Tensor) -> Tensor:
    """The pixels that lie in any of the discs, ``(..., H, W)``.

    Args:
        radii: of the disc around each pixel, ``(..., H, W)``; below 0: there is none.
    """
    height, width = radii.shape[-2:]
    reach = max(0, int(radii.max()))
    around = pad(radii, (reach,) * 4, value=-1.0)
    covered = torch.zeros_like(radii, dtype=torch.bool)
    for row in range(2 * reach + 1):
        for column in range(2 * reach + 1):
            distance = ((row - reach) ** 2 + (column - reach) ** 2) ** 0.5
            covered |= around[..., row : row + height, column : column + width] >= distance
    return covered
