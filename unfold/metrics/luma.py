"""The brightness of a color picture."""

from __future__ import annotations

from torch import Tensor


def luma(image: Tensor) -> Tensor:
    """``Y = 0.299 R + 0.587 G + 0.114 B``, ``(B, 3, H, W)`` to ``(B, 1, H, W)``; gray is unchanged.

    Y has the full range of the image, not the range 16 to 235 of video. Source: ITU-R BT.601.
    """
    from kornia.color import rgb_to_grayscale

    return image if image.shape[1] == 1 else rgb_to_grayscale(image)
