"""Clipping to the range of a file, and its reversal in saturated areas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from .base import Degradation, Parameters
from .color_space import check_lightness, lightness
from .rng import IN_ORDER, Share, check_photos, check_range, columns, uniform


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


class ClippingReverse(Degradation):
    """More light for saturated pixels: ``y = x + r`` where the Lab lightness exceeds 98.

    Clipping removed this light. With some of it restored, light sources stay bright when they are
    blurred. It is applied in linear light, before any blur or average and before the clip. The
    lightness ``L = 116 Y^(1/3) − 16`` is that of the photo's luminance ``Y``, so that ``L > 98``
    is ``Y > 0.949``. The result goes up to 1 + r for a photo in [0, 1].

    Options:
        amount: range of ``r``, in units of white; one number for all channels of a photo.
        lightness: the ``L`` above which a pixel counts as saturated, 0 to 100. A previous darkening
            must preserve saturated pixels.

    Parameters: ``amount``, ``(B,)``.

    Source: Zhou et al., "LEDNet: joint low-light enhancement and deblurring in the dark", ECCV
    2022, section 3; the numbers are its 20 to 100 of 255.

    Example:
        >>> import torch
        >>> from unfold.degradation import ClippingReverse
        >>> brighten = ClippingReverse(amount=(0.25, 0.25))
        >>> photo = torch.tensor([0.5, 1.0]).expand(1, 3, 1, 2)  # a wall, a lamp
        >>> brighten(photo, generator=torch.Generator())[0, 0]
        tensor([[0.5000, 1.2500]])
    """

    color_space = "linear"

    def __init__(
        self,
        *,
        amount: Annotated[tuple[Share, Share], IN_ORDER] = (20 / 255, 100 / 255),
        lightness: Annotated[float, Field(ge=0, le=100)] = 98.0,
    ) -> None:
        self.amount = check_range("clipping-reverse: amount", amount, least=0, most=1)
        self.lightness = check_lightness("clipping-reverse: lightness", lightness)

    def sample(self, batch: int, generator: torch.Generator) -> Parameters:
        return {"amount": uniform(batch, self.amount, generator)}

    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        (amount,) = columns(image, parameters, "amount")
        return image + amount * (lightness(image) > self.lightness)
