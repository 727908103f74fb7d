"""Bounds that hold for any component: what two transforms, or its own arithmetic, would take."""

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
    """The least that a deconvolution takes: a real FFT, one division by a real map, and back."""
    divisor = torch.rand_like(torch.fft.rfft2(x[:, :1]).real) + 0.1
    return lambda: torch.fft.irfft2(torch.fft.rfft2(x) / divisor, s=x.shape[-2:])


def yardstick(run: Callable[[], Any], module: nn.Module, x: Tensor) -> PairedRun:
    """A network against its multiplications at the best rate of this machine; anything else
    against two transforms.

    Args:
        run: calls the module on ``x``, ``(B, C, H, W)``.
        module: a network if it has parameters.
        x: what it is given.

    What `torch.utils.flop_counter` knows is counted: convolutions and matrix products. The rate is
    that of a convolution from 64 to 64 channels at the size of ``x``, measured in the same run.
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
