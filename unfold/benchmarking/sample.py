"""Inputs of the cases, the same in every run."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from unfold.degradation import motion_kernel

from .case import Size


def photo(size: Size, device: torch.device, *, seed: int = 0) -> Tensor:
    """A synthetic photo, ``(1, 3, H, W)`` in [0, 1], with smooth parts, edges and noise."""
    generator = torch.Generator().manual_seed(seed)
    smooth = _smooth(torch.rand(1, 3, 9, 9, generator=generator), size)
    edges = 0.2 * (_smooth(torch.rand(1, 1, 17, 17, generator=generator), size) > 0.5)
    noise = 0.01 * torch.randn(1, 3, *size, generator=generator)
    return (0.1 + 0.7 * smooth + edges + noise).clamp(0, 1).to(device)


def kernels(count: int, side: int, device: torch.device) -> Tensor:
    """Kernels of camera shakes, ``(1, count, side, side)``."""
    generator = torch.Generator().manual_seed(1)
    made = [motion_kernel(side, generator=generator) for _ in range(count)]
    return torch.cat(made, 1).to(device)


def shares(count: int, size: Size, device: torch.device) -> Tensor:
    """Smooth maps, ``(1, count, H, W)``, that sum to one at each pixel."""
    generator = torch.Generator().manual_seed(2)
    return _smooth(torch.randn(1, count, 8, 8, generator=generator), size).softmax(1).to(device)


def _smooth(x: Tensor, size: Size) -> Tensor:
    return interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)
