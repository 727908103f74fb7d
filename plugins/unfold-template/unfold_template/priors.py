"""A prior, given by its proximal operator."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from unfold.core import Prior


class Ridge(Prior):
    """``g(x) = ½ ‖x − center‖²``: values near a center; ``prox(v) = (v + step·center)/(1 + step)``.

    Args:
        center: in the image's unit, within [0, 1].
    """

    def __init__(self, *, center: Annotated[float, Field(ge=0, le=1)] = 0.5) -> None:
        super().__init__()
        self.center = center

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        """``argmin_x g(x) + ‖x − v‖²/(2·step)``; ``step`` is a number or a map, see `Prior`."""
        return (v + step * self.center) / (1 + step)

    def value(self, x: Tensor) -> Tensor:
        """``g(x)`` of each image. Omit this method if ``g`` is unknown (a learned prior)."""
        return ((x - self.center) ** 2 / 2).sum((1, 2, 3))
