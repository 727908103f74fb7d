"""Mean absolute error."""

from __future__ import annotations

from torch import Tensor

from .base import Metric


class MAE(Metric):
    """Mean absolute error in steps of an 8-bit sample: ``255 · mean |x − y|``, from 0 to 255.

    Example:
        >>> import torch
        >>> from unfold.metrics import MAE
        >>> MAE()(torch.full((1, 3, 8, 8), 0.5), torch.full((1, 3, 8, 8), 0.25))
        tensor([63.7500], dtype=torch.float64)
    """

    better = "lower"
    unit = "/255"

    def measure(self, image: Tensor, reference: Tensor | None) -> Tensor:
        assert reference is not None
        return 255 * (image.double() - reference.double()).abs().mean((1, 2, 3))
