"""Blur as a camera does it: what lies beyond the border is part of the scene."""

from __future__ import annotations

import torch
from torch import Tensor

from unfold.imaging.boundary import mirror
from unfold.terms.blur import transfer_function


def blur(image: Tensor, kernel: Tensor) -> Tensor:
    """``H ⊗ x`` with the scene mirrored beyond the border, ``(B, C, H, W)`` to the same.

    Args:
        image: in any range; linear light where the blur is meant to be physical.
        kernel: ``(1 or B, 1 or C, h, w)``, sum 1, centred at ``(h // 2, w // 2)``; may be larger
            than the image.
    """
    (h, w), (height, width) = kernel.shape[-2:], image.shape[-2:]
    # A true convolution reaches as far forward as the kernel reaches back, and the reverse.
    rows = mirror(torch.arange(-h, height + h, device=image.device), height)
    columns = mirror(torch.arange(-w, width + w, device=image.device), width)
    scene = image[..., rows, :][..., columns]
    size = (scene.shape[-2], scene.shape[-1])
    blurred = torch.fft.irfft2(torch.fft.rfft2(scene) * transfer_function(kernel, size), s=size)
    return blurred[..., h : h + height, w : w + width]
