"""Deep supervision: a loss of the result of each stage."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from .base import Loss, LossError, Outcome


class StageWise(Loss):
    """Deep supervision: mean absolute errors of a block b after each stage.

    ``Σ_k d^(K−k) mean |b_k − x| / Σ_k d^(K−k)`` over the stages k = 1 ... K.
    States are padded equally on both sides, and their center is compared. The last stage has the
    largest weight.

    Args:
        block: b, an entry of the state with the picture's channels (ErA's ``"X"``).
        picture: x, a picture of the batch.
        decay: d; with 1, all stages have the same weight.
        match_exposure: whether x is first brought to the exposure of the restoration's parts, if
            the model has changed it (parts ``gain`` and ``curve``).

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.core import State
        >>> from unfold.losses import Outcome, StageWise
        >>> target = torch.ones(1, 3, 4, 4)
        >>> stages = tuple(State({"X": value * target}) for value in (0.0, 0.5, 1.0))
        >>> outcome = Outcome(Restoration(target), {"target": target}, stages)
        >>> StageWise(block="X", decay=1.0)(outcome).item()
        0.5
    """

    needs_stages: ClassVar[bool] = True

    def __init__(
        self,
        *,
        block: str,
        picture: str = "target",
        decay: Annotated[float, Field(gt=0, le=1)] = 0.8,
        match_exposure: bool = False,
    ) -> None:
        super().__init__()
        self.block, self.picture, self.decay = block, picture, decay
        self.match_exposure = match_exposure

    def forward(self, outcome: Outcome) -> Tensor:
        stages = outcome.stages
        target = outcome.picture(self.picture, match_exposure=self.match_exposure)
        if not stages:
            raise LossError("stage-wise: the model has no stages; take the loss out of the recipe")
        if self.block not in stages[0]:
            raise LossError(
                f"stage-wise: no block {self.block!r}; there are {', '.join(stages[0])}"
            )
        shares = [self.decay ** (len(stages) - 1 - k) for k in range(len(stages))]
        (top, left), (height, width) = outcome.restoration.origin, target.shape[-2:]
        made = [s[self.block][..., top : top + height, left : left + width] for s in stages]
        errors = [(picture - target).abs().mean() for picture in made]
        weighted = [share * error for share, error in zip(shares, errors, strict=True)]
        return torch.stack(weighted).sum() / sum(shares)
