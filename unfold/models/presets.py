"""Small presets of the learned models: what trains on a CPU."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from unfold.registry.spec import PriorLike

from .era import ErA
from .jude import JUDE

_SMALL_PRIOR = {"kind": "resunet", "widths": (16, 32, 64), "residual": True}
_SMALL_ESTIMATOR = (16, 32, 64, 96)


def jude_small(
    *,
    K: Annotated[int, Field(ge=1)] = 2,
    prior: PriorLike = _SMALL_PRIOR,
    tied: bool = False,
    denoiser: bool = True,
    kernel_size: Annotated[int, Field(ge=3)] = 21,
    exposed: bool = True,
) -> JUDE:
    """JUDE with 2 stages, priors of widths 16-32-64 in residual form, and 21×21 kernels.

    It brings a dark photo to full exposure first, and its illumination enhancer has two levels
    more than JUDE's and sees the whole photo: what is dark because of the exposure, and what is
    dark itself, is not to be told from a few pixels.
    """
    return JUDE(
        K=K,
        prior=prior,
        tied=tied,
        denoiser=denoiser,
        kernel_size=kernel_size,
        enhancer_widths=(16, 32, 64, 64, 64),
        enhancer_pooled=True,
        exposed=exposed,
        denoiser_width=32,
        estimator_widths=_SMALL_ESTIMATOR,
    )


def era_small(
    *,
    K: Annotated[int, Field(ge=1)] = 3,
    prior: PriorLike = _SMALL_PRIOR,
    tied: bool = False,
    kernels: Annotated[int, Field(ge=1)] = 3,
    kernel_size: Annotated[int, Field(ge=3)] = 21,
) -> ErA:
    """ErA with 3 stages, priors of widths 16-32-64 and three 21×21 kernels."""
    return ErA(
        K=K,
        prior=prior,
        tied=tied,
        kernels=kernels,
        kernel_size=kernel_size,
        estimator_widths=_SMALL_ESTIMATOR,
    )
