"""One stage of FDN."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from unfold.core.operators import image, power_spectrum, spectrum
from unfold.priors.blocks import conv3
from unfold.terms.blur import transfer_function

SIDE = 5  # side of the filters
_WIDTH, _LAYERS, _MARGIN = 32, 5, 20  # for the network in the numerator


class Stage(nn.Module):
    """``x ← argmin λ/2 ‖k⊗x − y‖² + ½ Σ ‖f_i⊗x‖² − ⟨φ(x_before), x⟩``, by one Fourier division.

    λ is a function of the noise, f are 24 zero-mean filters of 5×5, and φ is a network of six
    convolutions.
    """

    basis: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Initially, a stage is a Wiener filter: φ = 0, λ = 100.
        strength, adjustment = nn.Linear(16, 1), conv3(_WIDTH, 1)
        for last, bias in ((strength, 100.0), (adjustment, 0.0)):
            nn.init.zeros_(last.weight)
            nn.init.constant_(last.bias, bias)  # pyright: ignore (it has one)
        self.strength = nn.Sequential(
            nn.Linear(1, 16), nn.ELU(), nn.Linear(16, 16), nn.ELU(), nn.Linear(16, 16), nn.ELU(),
            strength, nn.Softplus(),
        )  # fmt: skip
        layers: list[nn.Module] = []
        for inputs in (1, *[_WIDTH] * (_LAYERS - 1)):
            layers += [conv3(inputs, _WIDTH), nn.ELU()]
        self.numerator = nn.Sequential(*layers, adjustment)
        self.filters = nn.Parameter(torch.eye(SIDE**2 - 1))
        self.register_buffer("basis", cosines(SIDE), persistent=False)

    def forward(self, x: Tensor, y: Tensor, kernel: Tensor, sigma: Tensor) -> Tensor:
        """The next estimate.

        Args:
            x: the estimate of the stage before, ``(B, 1, H, W)``.
            y: the photo, ``(B, 1, H, W)``; its border may have been adjusted to x.
            kernel: ``(1 or B, 1, h, w)``.
            sigma: the noise level for 8-bit values, ``(B, 1, 1, 1)``.
        """
        size = x.shape[-2], x.shape[-1]
        strength = self.strength(sigma.flatten(1) ** -2)[..., None, None]
        wide = self.numerator(pad(x, (_MARGIN,) * 4, mode="replicate"))
        adjustment = wide[..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        filters = (self.filters.T @ self.basis).view(1, -1, SIDE, SIDE)
        smoothness = power_spectrum(transfer_function(filters, size)).sum(1, keepdim=True)
        otf = transfer_function(kernel, size)
        above = strength * otf.conj() * spectrum(y) + spectrum(adjustment)
        return image(above / (strength * power_spectrum(otf) + smoothness), x.shape)


def cosines(side: int) -> Tensor:
    """The basis of the discrete cosine transform without the mean, ``(side² − 1, side²)``,
    orthonormal; the first index of a pair is the frequency of the columns."""
    n, place = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    rows = torch.cos(math.pi * (2 * place + 1) * n / (2 * side)) * math.sqrt(2 / side)
    rows[0] = math.sqrt(1 / side)
    pairs = torch.einsum("ax,by->abyx", rows, rows)
    return pairs.reshape(side**2, side**2)[1:]
