"""Mean absolute error."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from .base import Loss, Outcome


class L1(Loss):
    """Mean absolute error: ``mean |x̂ − x|`` over pixels, channels and images.

    Args:
        picture: x, a picture of the batch.
        of: x̂, ``"image"`` or a part of the restoration.
        scale: x is first averaged over squares of this side, for an x̂ so much smaller (such as
            LEDNet's side output, 8).
        match_exposure: bring x to the exposure of the restoration's parts first, where the model
            has changed it (parts ``gain`` and ``curve``): for the sharp, dark ``"I"`` of JUDE.

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
    ) -> None:
        super().__init__()
        self.picture, self.of, self.scale = picture, of, scale
        self.match_exposure = match_exposure

    def forward(self, outcome: Outcome) -> Tensor:
        made, wanted = outcome.compared(
            self.of, self.picture, self.scale, match_exposure=self.match_exposure
        )
        return (made - wanted).abs().mean()
