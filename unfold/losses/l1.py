"""Mean absolute error."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from .base import Loss, Outcome

_BRIGHTNESS = 0.4, 2.5  # a ratio that is farther from 1 says nothing


class L1(Loss):
    """Mean absolute error: ``mean |x̂ − x|`` over pixels, channels and images.

    Args:
        picture: x, a picture of the batch.
        of: x̂, ``"image"`` or a part of the restoration.
        scale: x is first averaged over squares of this side, for an x̂ so much smaller (such as
            LEDNet's side output, 8).
        match_exposure: bring x to the exposure of the restoration's parts first, where the model
            has changed it (parts ``gain`` and ``curve``): for the sharp, dark ``"I"`` of JUDE.
        match_brightness: multiply each channel of x̂ first by the number, between 0.4 and 2.5, that
            brings it closest to x. No gradient passes to that number. Errors of brightness and
            white balance, which a crop does not show, then do not hide those of noise and blur.

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.losses import L1, Outcome
        >>> restoration = Restoration(torch.full((1, 3, 4, 4), 0.75))
        >>> L1()(Outcome(restoration, {"target": torch.ones(1, 3, 4, 4)})).item()
        0.25
    """

    def __init__(
        self,
        *,
        picture: str = "target",
        of: str = "image",
        scale: Annotated[int, Field(ge=1, le=64)] = 1,
        match_exposure: bool = False,
        match_brightness: bool = False,
    ) -> None:
        super().__init__()
        self.picture, self.of, self.scale = picture, of, scale
        self.match_exposure, self.match_brightness = match_exposure, match_brightness

    def forward(self, outcome: Outcome) -> Tensor:
        made, wanted = outcome.compared(
            self.of, self.picture, self.scale, match_exposure=self.match_exposure
        )
        made = brightness(made, wanted) * made if self.match_brightness else made
        return (made - wanted).abs().mean()


@torch.no_grad()
def brightness(made: Tensor, wanted: Tensor) -> Tensor:
    """The number for each channel, ``(B, C, 1, 1)``, that ``made`` is multiplied by to be closest
    to ``wanted`` in the mean square, between 0.4 and 2.5."""
    square, product = made.square(), made * wanted
    ratio = product.sum((-2, -1), keepdim=True) / square.sum((-2, -1), keepdim=True)
    return ratio.nan_to_num(1).clamp(*_BRIGHTNESS)
