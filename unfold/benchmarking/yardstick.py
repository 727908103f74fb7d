"""Bounds for any component: the time of two transforms, or of its own arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .case import PairedRun

TRANSFORMS = "two real FFTs and a division"
ARITHMETIC = "its multiplications, at the rate of a 64-channel 3×3 convolution"


def transforms(x: Tensor) -> Callable[[], Tensor]:
    """Lower bound of a deconvolution: a real FFT, a division by a real map, an inverse FFT."""
    divisor = torch.rand_like(torch.fft.rfft2(x[:, :1]).real) + 0.1
    return lambda: torch.fft.irfft2(torch.fft.rfft2(x) / divisor, s=x.shape[-2:])


def yardstick(run: Callable[[], Any], module: nn.Module, x: Tensor) -> PairedRun:
    """The bound of a module: for a network its multiplications at the best rate of this machine,
    for any other module two transforms.

    `torch.utils.flop_counter` counts convolutions and matrix products. The rate is that of a
    convolution from 64 to 64 channels at the size of ``x``, measured in the same run.

    Args:
        run: calls the module on ``x``.
        module: the module; it is a network if it has parameters.
        x: its input, ``(B, C, H, W)``.
    """
    work = _flops(run) if any(True for _ in module.parameters()) else 0
    if not work:
        return PairedRun(run, transforms(x), TRANSFORMS)
    convolution = nn.Conv2d(64, 64, 3, padding=1).to(x)
    features = torch.rand(1, 64, *x.shape[-2:]).to(x)

    def reference() -> Tensor:
        return convolution(features)

    return PairedRun(run, reference, ARITHMETIC, share=work / _flops(reference))


def _flops(run: Callable[[], Any]) -> int:
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()
