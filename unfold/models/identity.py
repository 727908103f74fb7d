"""A model that returns photos unchanged."""

from __future__ import annotations

from torch import Tensor

from unfold.core import History
from unfold.restorer import Restoration, Restorer

from .checks import check_image


class IdentityModel(Restorer):
    """Returns the photo, clipped to [0, 1]; its metrics are those of the input.

    Example:
        >>> import torch
        >>> from unfold.models.identity import IdentityModel
        >>> photo = torch.rand(1, 3, 8, 8)
        >>> torch.equal(IdentityModel()(photo).image, photo)
        True
    """

    requires_training = False
    channels = None

    def forward(
        self, image: Tensor, *, kernel: Tensor | None = None, history: History | None = None
    ) -> Restoration:
        check_image(image, self)
        return Restoration(image.clamp(0, 1))

    def explain(self) -> str:
        return "image = input"
