"""JUDE's updates as printed in the paper. They are wrong; they are kept to measure the difference.

Replace the derived step of the same block by one of them::

    steps = list(lower(jude_objective().lagrangian, ORDER))
    steps[ORDER.index("R")] = PrintedR()

The derived steps minimize the Lagrangian over their block exactly; these do not. Names and
penalties are those of `unfold.models.jude.jude_objective`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from unfold.core import Prior, State
from unfold.core.lagrangian import Penalties
from unfold.priors import Identity
from unfold.terms.blur import transfer_function


class PrintedP(nn.Module):
    """Eq. 8: ``P ← D(P − (w2 Z⊙Q + w3 R + Γ) / (w2 Q² + w3))``.

    The minimizer is ``D(Ψ/den)`` itself, not the old P minus that.

    Args:
        prior: D, the proximal operator of g_P.
    """

    def __init__(self, prior: Prior | None = None) -> None:
        super().__init__()
        self.prior = Identity() if prior is None else prior

    def forward(self, state: Mapping[str, Tensor], penalties: Penalties) -> State:
        s, w2, w3 = State(state), penalties["w2"], penalties["w3"]
        diagonal = w2 * s["Q"].square() + w3
        target = (w2 * s["Z"] * s["Q"] + w3 * s["R"] + s["G"]) / diagonal
        return s.replace("P", self.prior(s["P"] - target, 1 / diagonal))


class PrintedR:
    """Eq. 10: ``R ← (P + Γ) / w3``. The minimizer is ``P − Γ/w3``.

    With eq. 22, ``Γ ← Γ + w3 (R − P)``, the dual becomes ``2Γ + (1 − w3) P``: it doubles in every
    stage.
    """

    def __call__(self, state: Mapping[str, Tensor], penalties: Penalties) -> State:
        s = State(state)
        return s.replace("R", (s["P"] + s["G"]) / penalties["w3"])


class PrintedL:
    """Eq. 15: ``L ← (Q + Ω) / w4``. The minimizer is ``Q − Ω/w4``; the dual doubles, as in R."""

    def __call__(self, state: Mapping[str, Tensor], penalties: Penalties) -> State:
        s = State(state)
        return s.replace("L", (s["Q"] + s["O"]) / penalties["w4"])


class PrintedI:
    """Eq. 21: ``I ← F⁻¹[(w1 conj(F H) F X + F(w5 Z − Ω)) / (w1 F(H)² + w5)]``.

    The minimizer has Δ instead of Ω, and ``|F(H)|²`` instead of ``F(H)²``, which is complex and may
    be close to zero.
    """

    def __call__(self, state: Mapping[str, Tensor], penalties: Penalties) -> State:
        s, w1, w5 = State(state), penalties["w1"], penalties["w5"]
        size = (s["I"].shape[-2], s["I"].shape[-1])
        otf = transfer_function(s["H"], size)
        top = w1 * otf.conj() * torch.fft.rfft2(s["X"]) + torch.fft.rfft2(w5 * s["Z"] - s["O"])
        return s.replace("I", torch.fft.irfft2(top / (w1 * otf.square() + w5), s=size))
