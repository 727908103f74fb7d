"""Hyper-parameters of the stages: constants, powers of the noise level, or predictions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from unfold.core.operators import power_spectrum
from unfold.terms.blur import transfer_function

from .roles import HyperParameters

_TYPICAL_NOISE = 0.01
_GRID = 64  # rows and columns of the transforms of kernels


class LearnedConstants(HyperParameters):
    """Learned constants for all photos, initialized to the values at noise σ = 0.01.

    Example:
        >>> import torch
        >>> from unfold.estimators import LearnedConstants
        >>> constants = LearnedConstants(torch.zeros(2, 5, 3))
        >>> constants({}).shape, sum(p.numel() for p in constants.parameters())
        (torch.Size([1, 5, 3]), 15)
    """

    def __init__(self, initial: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(initial[0] + initial[1] * math.log(_TYPICAL_NOISE))

    def forward(self, state: Mapping[str, Tensor]) -> Tensor:
        return self.values[None]


class NoisePowers(HyperParameters):
    """Each hyper-parameter is affine in ``log σ``, so its ``exp`` is a power of the noise level.

    One network therefore serves all noise levels, as in USRNet (Zhang et al., CVPR 2020), in which
    a small network maps σ to hyper-parameters.

    Args:
        learned: whether both coefficients are learned. Otherwise they are constants from the
            model's plug-and-play schedule.

    Example:
        >>> import torch
        >>> from unfold.estimators import NoisePowers
        >>> initial = torch.tensor([[[0.0]], [[2.0]]])  # one stage, one number: exp gives σ²
        >>> powers = NoisePowers(initial, learned=False)
        >>> powers({"noise": torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)}).exp().flatten()
        tensor([1.0000e-02, 1.0000e-04])
    """

    def __init__(self, initial: Tensor, *, learned: bool = True) -> None:
        super().__init__()
        self.affine = nn.Parameter(initial) if learned else None
        self.register_buffer("_fixed", None if learned else initial, persistent=False)

    def forward(self, state: Mapping[str, Tensor]) -> Tensor:
        constant, slope = self.get_buffer("_fixed") if self.affine is None else self.affine
        return constant + slope * state["noise"].log().flatten(1)[..., None]


class PredictedFromKernel(HyperParameters):
    """Predicts every hyper-parameter of every stage from the kernel's transfer function.

    The input of a small convolutional network is ``log |F H|²`` of the kernel, on a grid of 64×64
    for photos of any size. Its output is added to affine functions of ``log σ`` (see
    `NoisePowers`). Its last layer is initialized to zero. For several kernels the mean power
    spectrum is used.

    Args:
        width: number of channels of its hidden layers.

    Source: JUDE, section 3.3 (the paper's module ends in a softplus; here the model's ``exp``
    makes the numbers positive).

    Example:
        >>> import torch
        >>> from unfold.estimators import PredictedFromKernel
        >>> predict = PredictedFromKernel(torch.zeros(2, 5, 3))
        >>> state = {"noise": torch.full((1, 1, 1, 1), 0.01), "H": torch.full((1, 1, 3, 3), 1 / 9)}
        >>> predict(state).shape
        torch.Size([1, 5, 3])
    """

    def __init__(
        self, initial: Tensor, *, width: Annotated[int, Field(ge=1, le=1024)] = 16
    ) -> None:
        super().__init__()
        self.affine = nn.Parameter(initial)
        widths = (1, width, width, width)
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width, initial[0].numel())
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, state: Mapping[str, Tensor]) -> Tensor:
        constant, slope = self.affine
        affine = constant + slope * state["noise"].log().flatten(1)[..., None]
        found = self.head(self.features(_log_power(state["H"])).mean((-2, -1)))
        return affine + found.view(-1, *constant.shape).to(affine.dtype)


def _log_power(kernel: Tensor) -> Tensor:
    """``log |F H|²`` on a fixed grid, low frequencies first, ``(B, 1, 64, 33)``."""
    side = max(_GRID, *kernel.shape[-2:])
    power = power_spectrum(transfer_function(kernel, (side, side))).mean(1, keepdim=True)
    power = torch.nn.functional.adaptive_avg_pool2d(power, (_GRID, _GRID // 2 + 1))
    return (power + 1e-4).log()
