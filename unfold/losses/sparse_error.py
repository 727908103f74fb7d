"""The sparse error is what was planted."""

from __future__ import annotations

from torch import Tensor

from .base import Loss, LossError, Outcome, known


class PlantedError(Loss):
    """Mean absolute error of the sparse error: ``mean |E − (y − y₀)|``.

    E is the deviation of the photo from the blur model. In synthesized data it is known: ``y₀`` is
    the picture before the outliers, ``y`` the one after (a recipe of synthesis saves both, around
    its step ``outliers``). E has their size and sign: ``y = B x + E``.

    Args:
        of: E, a part of the restoration, ``(B, 3, H, W)``.
        before: y₀, a picture of the batch.
        after: y, a picture of the batch. If a phase puts extra noise on the input, the noise counts
            as planted: name the saved picture instead.

    Source: ours; E is ErA's.

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.losses import Outcome, PlantedError
        >>> clean = torch.full((1, 3, 4, 4), 0.5)
        >>> spoiled = clean.clone()
        >>> spoiled[..., 0, 0] = 1.0
        >>> found = Restoration(clean, {"E": spoiled - clean})
        >>> PlantedError()(Outcome(found, {"clean": clean, "input": spoiled})).item()
        0.0
    """

    def __init__(self, *, of: str = "E", before: str = "clean", after: str = "input") -> None:
        super().__init__()
        self.of, self.before, self.after = of, before, after

    def forward(self, outcome: Outcome) -> Tensor:
        planted = outcome.picture(self.after) - outcome.picture(self.before)
        made = outcome.made(self.of)
        if made.shape != planted.shape:
            raise LossError(
                f"sparse-error: {self.of!r} has shape {tuple(made.shape)}, the planted error "
                f"{tuple(planted.shape)}"
            )
        return (made - known(planted, made)).abs().mean()
