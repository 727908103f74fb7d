"""Total-variation deconvolution: the classical deblurring baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from unfold.core import (
    Constraint,
    Equal,
    Lagrangian,
    Quadratic,
    Regularizer,
    Stage,
    State,
    Unrolled,
    lower,
)
from unfold.priors import TotalVariation
from unfold.terms import Convolution

from .assembly import Deconvolving, describe
from .jude_classic import estimate_noise

ORDER = ("I", "Z", "D")


class TVDeblur(Deconvolving):
    """Non-blind deconvolution with total variation: nothing learned, exposure left alone.

    It solves::

        min ½ ‖H⊗I − X‖² + τ σ TV(Z)   subject to I = Z (dual D)

    X the photo, H its kernel, σ the standard deviation of its noise, which is estimated. The
    image is Z after K rounds of ADMM, each with a few steps of the proximal operator: near the
    minimum, not at it. With no kernel given no blur is assumed: H is a point, and what remains is
    the removal of noise.

    Args:
        K: rounds.
        strength: τ, of the regularisation for each unit of noise.

    Parts: ``kernel`` (1 or B,1,h,w); ``I`` (B,3,H,W), the deconvolved photo before its last
    regularisation; ``noise`` (B,1,1,1), σ.

    Source: Rudin and Osher, "Total variation based image restoration with free local
    constraints", ICIP 1994; the splitting is that of Wang et al., SIAM J. Imaging Sci. 2008, with
    a multiplier.
    """

    requires_training = False

    def __init__(
        self,
        *,
        K: Annotated[int, Field(ge=1)] = 20,
        strength: Annotated[float, Field(gt=0)] = 0.2,
    ) -> None:
        super().__init__()
        lagrangian = Lagrangian(
            Quadratic(Convolution("I", kernel="H", observed="X"), 1.0),
            Constraint(Equal("I", "Z"), penalty="w", dual="D"),
            Regularizer("Z", TotalVariation(iterations=5), "z"),
        )
        self.stages = Unrolled(Stage(lower(lagrangian, ORDER), _Weights(strength)), repeat=K)

    def survey(self, image: Tensor, *, kernel: Tensor | None = None) -> Mapping[str, Tensor]:
        return {"noise": estimate_noise(image)}

    def explain(self) -> str:
        return describe(self, (), ORDER, "image = Z; without a kernel H is a point: only denoised")


class _Weights(nn.Module):
    """``z`` is the regularisation; the penalty ``w`` decides how fast it converges, not where."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, state: State) -> dict[str, Tensor | float]:
        z = self.strength * state["noise"]
        return {"w": 80 * z, "z": z}
