"""Metrics of single pixels: mean absolute error and peak signal-to-noise ratio."""

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


def luma(image: Tensor) -> Tensor:
    """``Y = 0.299 R + 0.587 G + 0.114 B``, ``(B, 3, H, W)`` to ``(B, 1, H, W)``; gray is unchanged.

    Y has the full range of the image, not the range 16 to 235 of video. Source: ITU-R BT.601.
    """
    from kornia.color import rgb_to_grayscale

    return image if image.shape[1] == 1 else rgb_to_grayscale(image)
