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
    Ledger,
    Quadratic,
    Regularizer,
    Restoration,
    Stage,
    State,
    Unrolled,
    lower,
)
from unfold.priors import TotalVariation
from unfold.terms import Convolution

from .assembly import Extending, describe
from .jude_classic import estimate_noise

ORDER = ("I", "Z", "D")


class TVDeblur(Extending):
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

    learned = False

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

    def forward(
        self,
        image: Tensor,
        *,
        kernel: Tensor | None = None,
        ledger: Ledger | None = None,
        guide: Mapping[str, Tensor] | None = None,
    ) -> Restoration:
        x, frame = self.prepare(image, kernel)
        used = image.new_ones(1, 1, 1, 1) if kernel is None else kernel.to(x)
        noise = (guide or self.survey(image))["noise"]
        state = State({**dict.fromkeys("XIZ", x), "H": used, "noise": noise})
        state = self.stages(state, ledger)
        parts = {"kernel": used, "I": frame.crop(state["I"]), "noise": noise}
        return Restoration(frame.crop(state["Z"]).clamp(0, 1), parts, ledger)

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
