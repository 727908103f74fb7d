"""JUDE without learning: the same Lagrangian and parts in closed form, no weights to load."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from unfold.registry.spec import PriorLike

from .jude import JUDE
from .parts import BlurLike

_FEW = {"kind": "total-variation", "iterations": 5}


def jude_classic(
    *,
    K: Annotated[int, Field(ge=1, le=1000)] = 12,
    prior: PriorLike = _FEW,
    blur: BlurLike = "convolution",
    brightness: Annotated[float, Field(gt=0, lt=1)] | None = 0.35,
    strength: Annotated[float, Field(gt=0)] = 1.0,
) -> JUDE:
    """JUDE with total variation in place of networks: deblurs with a given kernel, brightens.

    The photo is scaled to full exposure, JUDE's Lagrangian is minimized with total variation on
    P, Q and Z, the illumination is brightened by a power curve, and the reflectance is denoised
    where the light was low. No kernel given means no blur assumed. A sharp, well-lit, clean
    photo comes back nearly unchanged.

    Args:
        K: rounds.
        prior: of P, Q, Z and the reflectance at the end.
        blur: the data term's.
        brightness: mean of the illumination to aim for, in (0, 1); None leaves the exposure and
            the illumination alone.
        strength: of the priors against the data.

    Source: JUDE's equations (see `unfold.models.jude.jude_lagrangian`); the power curve is gamma
    correction.
    """
    curve: Any = {"kind": "power-curve", "brightness": brightness}
    return JUDE(
        K=K,
        prior=prior,
        tied=True,
        blur=blur,
        trust=False,
        kernel_estimator="point",
        enhancer=curve if brightness else None,
        denoiser={"kind": "prior-denoiser", "prior": prior},
        exposure="exposure-brightest" if brightness else None,
        hyper_parameters={"kind": "noise-powers", "learned": False},
        illumination_channels=1,
        reflectance="Z/L",
        strength=strength,
    )
