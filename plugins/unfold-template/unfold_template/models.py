"""A model, which maps a photo to a restored photo."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from unfold.core import History
from unfold.models.checks import check_image
from unfold.restorer import Restoration, Restorer


class Gamma(Restorer):
    """Brightens by a power curve: ``image = photo ** power``.

    Args:
        power: a value below 1 brightens.

    Parts: none.
    """

    requires_training = False

    def __init__(self, *, power: Annotated[float, Field(gt=0, le=100)] = 0.5) -> None:
        super().__init__()
        self.power = power

    def forward(
        self, image: Tensor, *, kernel: Tensor | None = None, history: History | None = None
    ) -> Restoration:
        check_image(image, self)
        return Restoration(image.clamp(0, 1) ** self.power)

    def explain(self) -> str:
        return f"image = photo ** {self.power}"
