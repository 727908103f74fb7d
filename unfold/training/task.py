"""Tasks of a training, each with its own losses and parameters."""

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


class Task(nn.Module):
    """A module whose ``forward`` returns losses. A separate optimizer minimizes their sum.

    The optimizer updates the parameters of the module. In each step all tasks compute their
    gradients, in order, before any of them is updated. A task can add entries to the batch for the
    tasks after it.

    Example:
        >>> import torch
        >>> from unfold.training import Task
        >>> class FitGain(Task):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.gain = torch.nn.Parameter(torch.ones(()))
        ...     def forward(self, batch):
        ...         return {"l2": (self.gain * batch["input"] - batch["target"]).square().mean()}
        >>> batch = {"input": torch.ones(1, 3, 2, 2), "target": torch.full((1, 3, 2, 2), 0.5)}
        >>> FitGain()(batch)["l2"].item()
        0.25
    """

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Name -> weighted loss, a scalar and a mean over the batch."""


class Supervised(Task):
    """Supervised training of one model on pairs.

    Args:
        model: the model to train.
        losses: ``(name, weight, loss)``, on the device of the task, but not part of its state.

    Example:
        >>> import torch, unfold
        >>> from unfold.losses import L1
        >>> from unfold.training import Supervised
        >>> model = unfold.create_model("zero-dce", pretrained=True)
        >>> task = Supervised(model, [("l1", 0.5, L1())])
        >>> losses = task({"input": torch.rand(2, 3, 16, 16), "target": torch.rand(2, 3, 16, 16)})
        >>> losses["l1"].backward()
        >>> list(losses), all(p.grad is not None for p in model.parameters())
        (['l1'], True)
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
    """The keyword arguments of the model: the blur kernel, if the data have it."""
    return {"kernel": batch["kernel"]} if "kernel" in batch else {}


@contextlib.contextmanager
def captured(model: nn.Module) -> Iterator[list[State]]:
    """A context that records the states after each stage, first to last."""
    states: list[State] = []

    def keep(stage: nn.Module, given: Any, made: State) -> None:
        states.append(made)

    hooks = [m.register_forward_hook(keep) for m in model.modules() if isinstance(m, Stage)]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()
