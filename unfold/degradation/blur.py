"""Blur like that of a camera, with a scene beyond the border."""

from __future__ import annotations

import torch
from torch import Tensor

from unfold.imaging.boundary import fast_length, mirror
from unfold.terms.blur import transfer_function


def blur(image: Tensor, kernel: Tensor) -> Tensor:
    """``H ⊗ x`` with the scene mirrored beyond the border, ``(B, C, H, W)`` to the same.

    Args:
        image: image in any range; linear light for a physical blur.
        kernel: ``(1 or B, 1 or C, h, w)``, sum 1, centered at ``(h // 2, w // 2)``; may be larger
            than the image.

    Example:
        >>> import torch
        >>> from unfold.degradation import blur
        >>> point = torch.tensor([[[[0.0, 0.0, 3.0, 0.0]]]])
        >>> blur(point, torch.full((1, 1, 1, 3), 1 / 3)).round()
        tensor([[[[0., 1., 1., 1.]]]])
    """
    # Not kornia's filter2d: it does not repeat the outermost pixel when it mirrors, takes no kernel
    # larger than the image, and needs 6 times as long for one of 31×31.
    (h, w), (height, width) = kernel.shape[-2:], image.shape[-2:]
    size = fast_length(height + h - 1), fast_length(width + w - 1)
    # The kernel's last element looks that far back, its first h // 2 ahead.
    top, left = (h - 1) // 2, (w - 1) // 2
    rows = mirror(torch.arange(size[0], device=image.device) - top, height)
    columns = mirror(torch.arange(size[1], device=image.device) - left, width)
    scene = image[..., rows, :][..., columns]
    blurred = torch.fft.irfft2(torch.fft.rfft2(scene) * transfer_function(kernel, size), s=size)
    return blurred[..., top : top + height, left : left + width]
