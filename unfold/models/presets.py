"""Small presets of the learned models: what trains on a CPU; and plug-and-play."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from unfold.registry.spec import PriorLike

from .deconvolution import Deconvolution
from .era import ErA
from .jude import JUDE
from .parts import BlurLike, EstimatorLike, OptionalEstimator, OptionalPrior

Rounds = Annotated[int, Field(ge=1, le=1000)]
Strength = Annotated[float, Field(gt=0)]
Noise = Annotated[float, Field(gt=0, lt=0.25)] | EstimatorLike

_SMALL_PRIOR = {"kind": "resunet", "widths": (32, 64), "residual": True, "unshuffle": 2}
_LIGHT_PRIOR = {"kind": "resunet", "widths": (16, 32), "residual": True, "unshuffle": 4}
_SMALL_KERNEL = {"kind": "kernel", "size": 21, "widths": (16, 32, 64, 96)}
_SMALL_ENHANCER = {"kind": "illumination", "widths": (16, 32, 64, 64, 64), "pooled": True}


def jude_small(
    *,
    K: Rounds = 2,
    prior: PriorLike = _SMALL_PRIOR,
    light_prior: OptionalPrior = _LIGHT_PRIOR,
    tied: bool = False,
    blur: BlurLike = "convolution",
    trust: bool = True,
    kernel_estimator: EstimatorLike = _SMALL_KERNEL,
    enhancer: OptionalEstimator = _SMALL_ENHANCER,
    denoiser: OptionalEstimator = {"kind": "prior-denoiser", "prior": _SMALL_PRIOR},  # noqa: B006
    exposure: OptionalEstimator = "exposure-histogram",
    noise: Noise = "noise",
    hyper_parameters: EstimatorLike = "noise-powers",
    strength: Strength = 1.0,
) -> JUDE:
    """JUDE with 2 stages, small priors on unshuffled pixels, and 21×21 kernels.

    It brings a dark photo to full exposure first, and its illumination enhancer has two levels
    more than JUDE's and sees the whole photo: what is dark because of the exposure, and what is
    dark itself, is not to be told from a few pixels.
    """
    return JUDE(
        K=K,
        prior=prior,
        light_prior=light_prior,
        tied=tied,
        blur=blur,
        trust=trust,
        kernel_estimator=kernel_estimator,
        enhancer=enhancer,
        denoiser=denoiser,
        exposure=exposure,
        noise=noise,
        hyper_parameters=hyper_parameters,
        strength=strength,
    )


def era_small(
    *,
    K: Rounds = 3,
    prior: PriorLike = _SMALL_PRIOR,
    tied: bool = False,
    num_kernels: Annotated[int, Field(ge=1, le=64)] = 3,
    kernel_estimator: EstimatorLike = _SMALL_KERNEL,
    noise: Noise = "noise",
    hyper_parameters: EstimatorLike = "noise-powers",
    strength: Strength = 1.0,
) -> ErA:
    """ErA with 3 stages, small priors on unshuffled pixels, and three 21×21 kernels."""
    return ErA(
        K=K,
        prior=prior,
        tied=tied,
        num_kernels=num_kernels,
        kernel_estimator=kernel_estimator,
        noise=noise,
        hyper_parameters=hyper_parameters,
        strength=strength,
    )


def deconv_small(
    *,
    K: Annotated[int, Field(ge=2, le=1000)] = 5,
    prior: PriorLike = {"kind": "resunet", "widths": (16, 32, 64), "residual": True},  # noqa: B006
    tied: bool = False,
    blur: BlurLike = "convolution",
    hyper_parameters: EstimatorLike = "noise-powers",
    noise: Noise = "noise",
    strength: Strength = 1.0,
) -> Deconvolution:
    """Deconvolution with a known kernel by 5 rounds, each with a small learned prior of its own,
    told a learned power of the noise."""
    return Deconvolution(
        K=K,
        prior=prior,
        tied=tied,
        blur=blur,
        hyper_parameters=hyper_parameters,
        noise=noise,
        strength=strength,
    )


def plug_and_play(
    *,
    K: Annotated[int, Field(ge=2, le=1000)] = 8,
    prior: PriorLike = "denoiser",
    blur: BlurLike = "convolution",
    noise: Noise = "noise",
    strength: Strength = 1.0,
) -> Deconvolution:
    """Deconvolution with a known kernel and any prior; nothing around the prior is learned.

    The prior is told a noise level that falls from 49/255 to that of the photo (DPIR).
    """
    return Deconvolution(
        K=K,
        prior=prior,
        tied=True,
        blur=blur,
        hyper_parameters={"kind": "noise-powers", "learned": False},
        noise=noise,
        strength=strength,
    )
