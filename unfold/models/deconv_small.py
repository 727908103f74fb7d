"""Deconvolution with a known kernel: few unrolled rounds, a learned prior told the noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from unfold.core import (
    Equal,
    Lagrangian,
    Ledger,
    Prior,
    Quadratic,
    Regularizer,
    Restoration,
    Stage,
    State,
    Unrolled,
    lower,
)
from unfold.registry.spec import PriorLike, factory
from unfold.terms import Convolution

from .assembly import Deconvolving, describe
from .jude_classic import estimate_noise

ORDER = ("I", "Z")
# Where the penalties start: the prior is told a standard deviation that falls from the first
# number, about 49/255, to that of the noise, and is weighed against the data by the second (Zhang
# et al., section 4.2).
_FIRST_DEVIATION, _BALANCE = 0.19, 0.23


class DeconvSmall(Deconvolving):
    """Non-blind deconvolution by K rounds of half-quadratic splitting with learned priors.

    Each round does one step for each block of::

        min ½ ‖H⊗I − X‖² + w/2 ‖I − Z‖² + z g(Z)

    X the photo, H its kernel. I is solved exactly by FFT, Z by the prior, which is told the step
    z/w. Both w and z/w are learned powers of the noise, apart in each round (`NoisePenalties`), so
    that one network serves all noise levels. Borders are those of a photo, not of a period: it is
    extended by the kernel's reach and cropped after. The image is the last Z.

    Args:
        K: rounds.
        prior: of Z: an installed prior by name or spec, or a function of the number of channels
            that builds one.
        noise: the standard deviation of the photo's noise, white being 1; None: it is estimated.

    Parts: ``kernel`` (1 or B,1,h,w); ``I`` (B,3,H,W), the photo after the last deconvolution;
    ``noise`` (B,1,1,1), as given or estimated.

    Raises:
        ValueError: no kernel is given (from ``forward``).

    Source: Zhang et al., "Plug-and-play image restoration with deep denoiser prior", TPAMI 2021,
    section 4.2, unrolled and trained as a whole as in their USRNet (CVPR 2020).
    """

    needs_kernel = True
    # That of its training, where kernels are 39 wide. What lies beyond a photo's border is made up,
    # and its priors know how far away that is: with less they leave ringing along the border (0.4
    # dB of whole photos).
    least_margin = 20

    def __init__(
        self,
        *,
        K: Annotated[int, Field(ge=2)] = 5,
        prior: PriorLike = {"kind": "resunet", "widths": (16, 32, 64), "residual": True},  # noqa: B006
        noise: Annotated[float, Field(gt=0, lt=1)] | None = None,
    ) -> None:
        super().__init__()
        self.noise = noise
        make: Callable[[int], Prior] = factory("priors", prior)

        def stage(k: int) -> Stage:
            lagrangian = Lagrangian(
                Quadratic(Convolution("I", kernel="H", observed="X"), 1.0),
                Quadratic(Equal("I", "Z"), "w"),
                Regularizer("Z", make(3), "z"),
            )
            return Stage(lower(lagrangian, ORDER), NoisePenalties(k / (K - 1)))

        self.stages = Unrolled([stage(k) for k in range(K)])

    def forward(
        self,
        image: Tensor,
        *,
        kernel: Tensor | None = None,
        ledger: Ledger | None = None,
        guide: Mapping[str, Tensor] | None = None,
    ) -> Restoration:
        if kernel is None:
            raise ValueError(
                "deconv-small needs the blur's kernel: give kernel=..., or --kernel FILE; "
                "jude-small restores without one"
            )
        return super().forward(image, kernel=kernel, ledger=ledger, guide=guide)

    def survey(self, image: Tensor, *, kernel: Tensor | None = None) -> Mapping[str, Tensor]:
        if self.noise is not None:
            return {"noise": torch.full_like(image[:, :1, :1, :1], self.noise)}
        return {"noise": estimate_noise(image)}

    def explain(self) -> str:
        return describe(self, (), ORDER, "image = Z; w and z/w are learned powers of the noise")


class NoisePenalties(nn.Module):
    """``w`` and ``z`` of one round: ``log w`` and ``log z/w`` are affine in ``log σ``.

    At first they are those of plug-and-play: the prior's deviation ``s`` lies between
    ``_FIRST_DEVIATION`` and σ, and ``z/w = s²``, ``w = _BALANCE σ²/s²``.

    Args:
        place: of the round, from 0, the first, to 1, the last.
    """

    def __init__(self, place: float) -> None:
        super().__init__()
        start = 2 * (1 - place) * math.log(_FIRST_DEVIATION)
        self.log_step = nn.Parameter(torch.tensor([start, 2 * place]))
        self.log_w = nn.Parameter(torch.tensor([math.log(_BALANCE) - start, 2 - 2 * place]))

    def forward(self, state: State) -> dict[str, Tensor]:
        log_noise = state["noise"].log()
        step, w = ((p[0] + p[1] * log_noise).exp() for p in (self.log_step, self.log_w))
        return {"w": w, "z": w * step}
