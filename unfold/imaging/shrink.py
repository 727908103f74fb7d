"""Scaling photos down."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import interpolate


def shrink(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Scale a photo ``(C, H, W)``, or several ``(N, C, H, W)``, down to the size ``(h, w)``.

    Bicubic with a low-pass filter against aliasing; the result is in [0, 1].
    """
    # Not kornia's resize: its low-pass is a Gaussian (values move by up to 0.2), and slower.
    batch = image if image.ndim == 4 else image[None]
    small = interpolate(batch, size, mode="bicubic", antialias=True).clamp(0, 1)
    return small if image.ndim == 4 else small[0]
