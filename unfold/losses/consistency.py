"""Losses of consistency: of the restoration with its photo, and of the reflectances of a scene."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from unfold.core import State
from unfold.imaging.boundary import MULTIPLE, pad_periodic
from unfold.terms import Convolution

from .base import Loss, LossError, Outcome

_CONVOLUTION = Convolution("I", kernel="H", observed="X")


class Reblur(Loss):
    """Re-blur consistency: ``mean |B x̂ − y|`` with the estimated blur.

    ``B x = Σ_m W_m ⊙ (k_m ⊗ x)``. The kernels are the restoration's part ``kernel``,
    ``(1 or B, M, h, w)``. The maps are its part ``maps``, ``(B, M, H, W)``, if it has one (a single
    kernel needs none). x̂ is extended periodically as in the models.

    Args:
        of: x̂, ``"image"`` or a part of the restoration (JUDE's sharp, dark ``"I"``).
        picture: y, a picture of the batch.
        match_exposure: whether y is first brought to the exposure of the restoration's parts, if
            the model has changed it (parts ``gain`` and ``curve``).

    Source: the second part of ErA's loss. (Both parts have the weight ½, which is in the recipe.)

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.losses import Outcome, Reblur
        >>> photo, point = torch.rand(1, 3, 16, 16), torch.ones(1, 1, 1, 1)
        >>> loss = Reblur()(Outcome(Restoration(photo, {"kernel": point}), {"input": photo}))
        >>> round(loss.item(), 4)
        0.0
    """

    def __init__(
        self, *, of: str = "image", picture: str = "input", match_exposure: bool = False
    ) -> None:
        super().__init__()
        self.of, self.picture, self.match_exposure = of, picture, match_exposure

    def forward(self, outcome: Outcome) -> Tensor:
        maps = outcome.restoration.parts.get("maps")
        blurred = reblur(outcome.made(self.of), outcome.made("kernel"), maps)
        photo = outcome.picture(self.picture, match_exposure=self.match_exposure)
        return (blurred - photo).abs().mean()


def reblur(sharp: Tensor, kernels: Tensor, maps: Tensor | None = None) -> Tensor:
    """``Σ_m W_m ⊙ (k_m ⊗ x)`` of ``(B, C, H, W)``; without maps, the convolution with one kernel.

    Raises:
        LossError: if there are several kernels and no maps.
    """
    if maps is None and kernels.shape[1] > 1:
        raise LossError(f"reblur: {kernels.shape[1]} kernels need maps, the part 'maps'")
    height, width = kernels.shape[-2:]
    x, frame = pad_periodic(sharp, (height // 2, width // 2), multiple=MULTIPLE)
    zero = torch.zeros_like(x)
    blurred = [
        frame.crop(_CONVOLUTION(State({"I": x, "X": zero, "H": kernels[:, m : m + 1]})))
        for m in range(kernels.shape[1])
    ]
    if maps is None:
        return blurred[0]
    return torch.stack([maps[:, m : m + 1] * b for m, b in enumerate(blurred)]).sum(0)


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
