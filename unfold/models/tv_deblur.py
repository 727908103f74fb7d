"""Total-variation deconvolution: the classical deblurring baseline."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from .deconvolution import Deconvolution
from .parts import BlurLike, EstimatorLike


def tv_deblur(
    *,
    K: Annotated[int, Field(ge=2, le=1000)] = 12,
    blur: BlurLike = "convolution",
    noise: Annotated[float, Field(gt=0, lt=0.25)] | EstimatorLike = "noise",
    strength: Annotated[float, Field(gt=0)] = 1.0,
) -> Deconvolution:
    """Non-blind deconvolution with total variation: nothing learned, exposure left alone.

    `Deconvolution` with total variation as its prior: K rounds towards the minimum of
    ``½ ‖H⊗I − X‖² + w/2 ‖I − Z‖² + τ σ TV(Z)``, w = 0.23 · ``strength``, τ = 0.14 · ``strength``, σ
    the standard deviation of the photo's noise. With no kernel given no blur is assumed: H is a
    point, and what remains is the removal of noise.

    Source: Rudin and Osher, "Total variation based image restoration with free local
    constraints", ICIP 1994; the splitting is that of Wang et al., SIAM J. Imaging Sci. 2008.
    """
    return Deconvolution(
        K=K,
        prior={"kind": "total-variation", "iterations": 5},
        first_deviation=0.05,
        blur=blur,
        noise=noise,
        strength=strength,
        needs_kernel=False,
    )
