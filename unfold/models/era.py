"""ErA: defocus deblurring with a sparse error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from unfold.core import (
    CG,
    Constraint,
    Equal,
    Lagrangian,
    Ledger,
    Prior,
    Quadratic,
    Regularizer,
    Residual,
    Restoration,
    State,
)
from unfold.estimators import KernelEstimator
from unfold.priors import SoftThreshold
from unfold.registry.spec import PriorLike, factory
from unfold.terms import Convolution, FilterFlow, SparseError

from .assembly import Extending, describe, unroll

# The blocks in the poster's cycle U, Z, X, E, P, but begun at E: the image is the last X, which the
# last E thus reaches.
ORDER = ("E", "P", "U", "Z", "X", "G", "O", "D")
WEIGHTS = {"w1": 1.0, "w2": 0.1, "w3": 0.1, "ws": 0.01}
# One stage moves X a little from where the last left it: a few warm-started steps suffice, and a
# fixed number never waits for the device.
_CG = CG(maximum=4, tolerance=None)


def era_lagrangian(blur: Residual, *regularizers: Regularizer) -> Lagrangian:
    """ErA's Lagrangian (poster, with its misprints mended)::

        min ½‖U + E − Y‖² + φ(Z) + ws‖E‖₁ + f(P)
        subject to U = B X (dual G), X = Z (O), E = P (D)

    Y the defocused input, B the blur, X the sharp image, U the blurred one, E an error in a few
    places; Z and P auxiliaries. The poster's Γ, Ω, Δ are G, O, D; its λ1, λ2, λ3, λs are w1, w2,
    w3, ws (it uses λ3 for both of the last).

    Args:
        blur: ``B X − U``: a `Convolution` or a `FilterFlow`.
        regularizers: on Z and P.
    """
    return Lagrangian(
        Quadratic(SparseError("U", error="E", observed="Y"), 1.0),
        Constraint(blur, penalty="w1", dual="G"),
        Constraint(Equal("X", "Z"), penalty="w2", dual="O"),
        Constraint(Equal("E", "P"), penalty="w3", dual="D"),
        Regularizer("E", SoftThreshold(), "ws"),
        *regularizers,
    )


class ErA(Extending):
    """ErA: K unrolled stages after an estimate of the defocus kernels and where they act.

    Defocus varies over the picture, so the blur is a filter flow ``B x = Σ_m W_m ⊙ (k_m ⊗ x)``
    with estimated kernels and weight maps (a softmax over m), and X is solved by a few warm
    conjugate-gradient steps. With one kernel the blur is stationary and X is one division by FFT.

    All updates but that of X minimise the Lagrangian over their block exactly. That of X does so
    with one kernel; with several the gradient in X vanishes (to 1e-10 in float64) only if conjugate
    gradients run to convergence, and the four steps taken here leave a small residual.

    Args:
        K: stages.
        prior: of Z and P: an installed prior by name or spec, or a function of the number of
            channels that builds one.
        tied: whether all stages share their parameters.
        kernel_size: side of the estimated kernels, in pixels.
        kernels: how many, M.
        estimator_widths: of the kernel estimator.

    Parts: ``kernel`` (B,M,h,w); ``weights`` (B,M,H,W), where M > 1; ``X``, ``Z`` (sharp), ``U``
    (blurred), ``E`` (the error), ``P``. The image is X.

    Source: the ErA poster, with the misprints mended.
    """

    def __init__(
        self,
        *,
        K: Annotated[int, Field(ge=1)] = 5,
        prior: PriorLike = {"kind": "resunet", "residual": True},  # noqa: B006
        tied: bool = False,
        kernel_size: Annotated[int, Field(ge=3)] = 31,
        kernels: Annotated[int, Field(ge=1)] = 3,
        estimator_widths: tuple[int, ...] = (16, 32, 64, 128, 256),
    ) -> None:
        super().__init__()
        make: Callable[[int], Prior] = factory("priors", prior)

        def declare(stage: int) -> Lagrangian:
            priors = [Regularizer("Z", make(3))]
            # Nothing comes after the last P: a network of its own there could not learn.
            if tied or stage < K - 1:
                priors.append(Regularizer("P", make(3)))
            return era_lagrangian(_blur(kernels), *priors)

        self.estimator = KernelEstimator(size=kernel_size, kernels=kernels, widths=estimator_widths)
        self.stages = unroll(declare, ORDER, WEIGHTS, K=K, tied=tied, cg=_CG)

    def forward(
        self,
        image: Tensor,
        *,
        kernel: Tensor | None = None,
        ledger: Ledger | None = None,
        guide: Mapping[str, Tensor] | None = None,
    ) -> Restoration:
        x, frame = self.prepare(image, kernel)
        estimated, logits = self.estimator(x)
        estimated = guide["kernel"] if guide else estimated
        used = estimated if kernel is None else kernel.to(x).expand(-1, estimated.shape[1], -1, -1)
        state = self.stages(self.start(x, used, logits.softmax(1)), ledger)
        names = ("X", "Z", "U", "E", "P", *(["W"] if estimated.shape[1] > 1 else []))
        parts = {name: frame.crop(state[name]) for name in names}
        if "W" in parts:
            parts["weights"] = parts.pop("W")
        return Restoration(parts["X"].clamp(0, 1), {"kernel": used, **parts}, ledger)

    def survey(self, image: Tensor, *, kernel: Tensor | None = None) -> Mapping[str, Tensor]:
        if kernel is not None:
            return {}
        return {"kernel": self.estimator.survey(self.extended(image)[0])}

    @property
    def kernel_size(self) -> int:
        return self.estimator.size

    def start(self, y: Tensor, kernel: Tensor, weights: Tensor) -> State:
        """Where the optimisation starts: at the photo, blurred again as U, with no error."""
        none = torch.zeros_like(y)
        blocks = dict.fromkeys("YXZ", y) | dict.fromkeys("EPU", none)
        state = State({**blocks, "H": kernel, "W": weights})
        return state.replace("U", _blur(kernel.shape[1])(state))  # B X − U, at U = 0

    def explain(self) -> str:
        return describe(self, ("estimator", "stages"), ORDER, "image = X")


def _blur(kernels: int) -> Residual:
    if kernels == 1:
        return Convolution("X", kernel="H", observed="U")
    return FilterFlow("X", kernels="H", weights="W", observed="U")
