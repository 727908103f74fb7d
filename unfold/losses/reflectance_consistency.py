"""The reflectance of a scene does not depend on its exposure."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from .base import Loss, Outcome


class ReflectanceConsistency(Loss):
    """Two exposures of one scene have one reflectance: ``mean |R/⟨|R|⟩ − R'/⟨|R'|⟩|``.

    R is the part of the restored input, and R' that of the batch's ``other``, a second, aligned
    input of the same scene with another exposure and another noise. ``⟨·⟩`` is the mean over an
    image. Since ``R ⊙ L = (cR) ⊙ (L/c)``, R is determined only up to a positive factor for each
    image, and the loss is invariant to that factor. It is 0 if R and R' are proportional, also for
    a constant R, so it must be combined with a loss of the image.

    Args:
        of: R, a part of the restoration, ``(B, C, H, W)``.

    Source: Wei et al., "Deep Retinex decomposition for low-light enhancement", BMVC 2018
    (its ``‖R_low − R_normal‖₁``); the normalization is ours.

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.losses import Outcome, ReflectanceConsistency
        >>> image, reflectance = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)
        >>> one, other = (Restoration(image, {"R": c * reflectance}) for c in (1.0, 0.5))
        >>> round(ReflectanceConsistency()(Outcome(one, {}, other=other)).item(), 4)
        0.0
    """

    needs_other: ClassVar[bool] = True

    def __init__(self, *, of: str = "R") -> None:
        super().__init__()
        self.of = of

    def forward(self, outcome: Outcome) -> Tensor:
        one, other = (_normalized(part) for part in outcome.made_of_both(self.of))
        return (one - other).abs().mean()


def _normalized(reflectance: Tensor) -> Tensor:
    return reflectance / reflectance.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-6)
