"""Sample photos: those that scikit-image carries, made dark and shaken in a known way."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unfold.degradation import blur, motion_kernel

EXPOSURE = 0.25
_NOISE, _KERNEL = 0.01, 21
# Name -> seed of its shake: all different.
_SEEDS = {"astronaut": 3, "chelsea": 5, "coffee": 4, "rocket": 6}


def samples() -> Mapping[str, int]:
    """The names of the sample photos, with their seeds; none without scikit-image."""
    try:
        import skimage  # noqa: F401
    except ImportError:
        return {}
    return _SEEDS


def sample(name: str) -> tuple[Tensor, Tensor]:
    """A dark and shaken photo ``(3, H, W)``, and the kernel that it was shaken with."""
    from skimage import data

    sharp = torch.from_numpy(getattr(data, name)()).float().permute(2, 0, 1)[None] / 255
    bad, kernel = dark_and_shaken(sharp, torch.Generator().manual_seed(_SEEDS[name]))
    return bad[0], kernel


def dark_and_shaken(sharp: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A photo at a quarter of its light, shaken, with noise, in 8 bits; and the shake's kernel.

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
