"""A photo degraded in a known way, for demonstrations."""

from __future__ import annotations

import torch
from torch import Tensor

from .blur import blur
from .kernels import motion_kernel

EXPOSURE = 0.25
_NOISE, _KERNEL = 0.01, 21


def dark_and_shaken(sharp: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A photo at a quarter of its light, shaken, with noise, in 8 bits; and the shake's kernel.

    >>> import torch
    >>> from unfold.degradation.dark_and_shaken import dark_and_shaken
    >>> photo, kernel = dark_and_shaken(torch.rand(1, 3, 64, 64), torch.Generator().manual_seed(0))
    >>> kernel.shape
    torch.Size([1, 1, 21, 21])

    Args:
        sharp: ``(B, 3, H, W)`` in [0, 1].
        generator: of shake and noise.

    Returns:
        The photo, ``(B, 3, H, W)``; the kernel, ``(1, 1, 21, 21)``, sum 1.
    """
    kernel = motion_kernel(_KERNEL, generator=generator)
    bad = blur(EXPOSURE * sharp, kernel)
    bad = bad + _NOISE * torch.randn(bad.shape, generator=generator)
    return (bad.clamp(0, 1) * 255).round() / 255, kernel
