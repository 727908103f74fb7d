"""Players: who takes part in a training, each with losses and parameters of its own."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from unfold.core import Stage, State
from unfold.losses import OTHER, Loss, LossError, Outcome
from unfold.restorer import Restoration, Restorer

Batch = dict[str, Any]


class Player(nn.Module):
    """A module whose ``forward`` gives losses; an optimizer makes their sum small.

    Its parameters are what that optimizer updates. In each step all players compute their
    gradients, in order, before any of them is updated; what one leaves in the batch, those after
    it find there.
    """

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Name -> weighted loss, a scalar and a mean over the batch."""


class Supervised(Player):
    """One model that learns from pairs.

    Args:
        model: what learns.
        losses: ``(name, weight, loss)``; they are no part of the player's state, and are on its
            device already.
    """

    def __init__(self, model: Restorer, losses: Sequence[tuple[str, float, Loss]]) -> None:
        super().__init__()
        self.model = model
        self._losses = tuple(losses)
        self._look = any(loss.needs_stages for _, _, loss in losses)
        self._twice = [name for name, _, loss in losses if loss.needs_other]

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        with captured(self.model if self._look else nn.Identity()) as stages:
            restoration = self.model(batch["input"], **known(batch))
        outcome = Outcome(restoration, batch, tuple(stages), self._second(batch))
        return {name: weight * loss(outcome) for name, weight, loss in self._losses}

    def _second(self, batch: Batch) -> Restoration | None:
        """The restoration of the second input of each scene, if a loss reads it."""
        if not self._twice:
            return None
        if OTHER not in batch:
            raise LossError(
                f"{', '.join(self._twice)}: the data have no second input {OTHER!r} of each scene; "
                f"save one in the recipe of synthesis, and set data.pictures.{OTHER} to its name"
            )
        return self.model(batch[OTHER], **known(batch))


def known(batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """What a model is told beside the photo: the blur's kernel, where the data have it."""
    return {"kernel": batch["kernel"]} if "kernel" in batch else {}


@contextlib.contextmanager
def captured(model: nn.Module) -> Iterator[list[State]]:
    """The states after each stage that runs within, first to last."""
    states: list[State] = []

    def keep(stage: nn.Module, given: Any, made: State) -> None:
        states.append(made)

    hooks = [m.register_forward_hook(keep) for m in model.modules() if isinstance(m, Stage)]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()
