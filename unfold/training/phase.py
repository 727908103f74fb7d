"""Phases: number of steps, size of crops, learning rate."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from unfold.errors import InputError
from unfold.registry.spec import DegradationSpec

Count = Annotated[int, Field(ge=1, le=10**9)]
Rate = Annotated[float, Field(ge=0, le=1e3)]


class Phase(BaseModel):
    """A part of a training with one crop size and one schedule of the learning rate.

    Attributes:
        steps: number of updates of the weights.
        batch: number of photos in an update, in all processes and accumulated parts together.
        crop: side of the crops in pixels.
        lr: initial learning rate.
        schedule: ``"cosine"`` decreases to ``lr_end``; ``"step"`` halves the rate every ``halve``
            steps; ``"constant"`` keeps it.
        lr_end: final learning rate of ``"cosine"``.
        halve: period of ``"step"``.
        extra: further degradations of the input.
        start: ``"last"`` continues with the weights of the previous phase. ``"best"`` starts from
            the checkpoint with the best validation so far, including its averaged weights, with
            initial moments of the optimizer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    steps: Count
    batch: Count
    crop: Annotated[int, Field(ge=1, le=65536)]
    lr: Annotated[float, Field(gt=0, le=1e3)]
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    lr_end: Rate = 1e-7
    halve: Count | None = None
    extra: tuple[DegradationSpec, ...] = ()
    start: Literal["last", "best"] = "last"

    @model_validator(mode="after")
    def _holds_together(self) -> Phase:
        if (self.schedule == "step") != (self.halve is not None):
            raise InputError('halve: must be given for schedule = "step", and only for it')
        return self

    def rate(self, step: int) -> float:
        """The learning rate of step 0, 1, ... of the phase.

        It is a function of the step only, so a checkpoint has no state of it.
        """
        if self.schedule == "cosine":
            share = (1 + math.cos(math.pi * step / self.steps)) / 2
            return self.lr_end + (self.lr - self.lr_end) * share
        return self.lr if self.halve is None else self.lr * 0.5 ** (step // self.halve)
