"""Peak signal-to-noise ratio."""

from __future__ import annotations

from torch import Tensor

from .base import Metric


class PSNR(Metric):
    """Peak signal-to-noise ratio: ``10 log₁₀(1 / mean (x − y)²)`` dB, over all channels.

    The peak is 1. The value is ``inf`` for identical photos. (`unfold.evaluation` averages the
    finite values and counts the others.)

    Example:
        >>> import torch
        >>> from unfold.metrics import PSNR
        >>> sharp = torch.full((1, 3, 8, 8), 0.5)
        >>> PSNR()(sharp + 0.1, sharp).round(decimals=2)
        tensor([20.], dtype=torch.float64)
    """

    better = "higher"
    unit = "dB"

    def measure(self, image: Tensor, reference: Tensor | None) -> Tensor:
        assert reference is not None
        # Not kornia's psnr: it averages the error over the whole batch.
        error = (image.double() - reference.double()).square().mean((1, 2, 3))
        return -10 * error.log10()
