"""The subproblems of blind deconvolution: for the sharp image, and for the kernel."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from unfold.core import (
    CG,
    Equal,
    Lagrangian,
    Quadratic,
    Regularizer,
    Stage,
    Unrolled,
    lower,
)
from unfold.priors import L0
from unfold.terms import Convolution, Gradient

# Squared gradients below these values are attributed to noise or blur, one per round.
_THRESHOLDS = tuple(2.0**-i for i in range(3, 17))
_RIDGE = 10.0

BLURRED = Convolution("I", kernel="H", observed="X")
"""``H⊗I − X``, affine in the image I."""

FIT = Convolution("S", kernel="H", observed="Y")
"""``H⊗S − Y``, affine in the kernel H."""


def latent_stages() -> Unrolled:
    """``min ½‖H⊗I − X‖² + λ/2 ‖∇I‖₀`` by half-quadratic splitting."""
    lagrangian = Lagrangian(
        Quadratic(BLURRED),
        Quadratic(Gradient("I", gradient="G"), "β"),
        Regularizer("G", L0(grouped=True), "λ/2"),
    )
    steps = lower(lagrangian, ("G", "I"))
    return Unrolled([Stage(steps, _Penalty(threshold)) for threshold in _THRESHOLDS])


def kernel_stage() -> Stage:
    """``min ½‖H⊗S − Y‖² + γ/2 ‖H‖²``."""
    lagrangian = Lagrangian(Quadratic(FIT), Quadratic(Equal("H", "0"), "γ"))
    return Stage(lower(lagrangian, ("H",), CG(maximum=20, tolerance=None)), {"γ": _RIDGE})


class _Penalty(nn.Module):
    """The penalty for which gradients with a square below a threshold become zero."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"λ/2": state["λ"] / 2, "β": state["λ"] / self.threshold}
