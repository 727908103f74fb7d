"""The model that leaves photos as they are."""

from __future__ import annotations

from torch import Tensor

from unfold.core import History
from unfold.restorer import Restoration, Restorer

from .checks import check_image


class IdentityModel(Restorer):
    """Gives the photo back, clipped to [0, 1]: what it scores is what the input scores."""

    requires_training = False
    channels = None

    def forward(
        self, image: Tensor, *, kernel: Tensor | None = None, history: History | None = None
    ) -> Restoration:
        check_image(image, self)
        return Restoration(image.clamp(0, 1))

    def explain(self) -> str:
        return "image = input"
