"""Regions of a picture are as bright as wanted."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn.functional import avg_pool2d

from .base import Loss, Outcome, at_least

_REGION = 16


class Exposure(Loss):
    """Regions of 16×16 pixels have a wanted brightness (see `exposure_control`); needs no target.

    Of color, the mean of the channels is taken.

    Args:
        level: E, the brightness in [0, 1], of sRGB-encoded values.

    Raises:
        LossError: a picture smaller than 16×16.

    Source: Zero-DCE, of weight 10 there.

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.losses import Exposure, Outcome
        >>> dark = Restoration(torch.full((1, 3, 32, 32), 0.25))
        >>> Exposure(level=0.75)(Outcome(dark, {})).item()  # 0.5²
        0.25
    """

    def __init__(self, *, level: Annotated[float, Field(ge=0, le=1)] = 0.6) -> None:
        super().__init__()
        self.level = level

    def forward(self, outcome: Outcome) -> Tensor:
        image = outcome.made("image")
        at_least(_REGION, image, "exposure")
        return exposure_control(image.mean(1, keepdim=True), self.level)


def exposure_control(after: Tensor, exposure: Tensor | float) -> Tensor:
    """``1/M Σ_k (a_k − e)²`` over the means ``a_k`` of 16×16 regions.

    ``(B, 1, H, W)``, H and W at least 16, and ``e``: a number, or ``(B,)``; a scalar.

    Source: Guo et al., CVPR 2020, equation 5, which prints an absolute value; the square, and the
    weight that belongs to it, are of the code that they released.

    Example:
        >>> import torch
        >>> from unfold.losses import exposure_control
        >>> exposure_control(torch.full((1, 1, 32, 32), 0.5), 0.75).item()
        0.0625
    """
    wanted = exposure[:, None, None, None] if isinstance(exposure, Tensor) else exposure
    return (avg_pool2d(after, _REGION) - wanted).square().mean()
