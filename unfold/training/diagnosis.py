"""What went bad first, when a loss or a gradient is no longer a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from unfold.restorer import Restorer

from .player import Batch, captured, known
from .sharding import whole


def bad(values: Mapping[str, float]) -> list[str]:
    """The names of values that are infinite or no numbers."""
    return [name for name, value in values.items() if not torch.tensor(value).isfinite()]


def blame(model: Restorer, batches: Sequence[Batch], players: Mapping[str, nn.Module]) -> str:
    """Where it began: a photo, a stage's block, the model, or a parameter's gradient.

    Args:
        model: with the weights of the step that failed.
        batches: those of the step.
        players: with that step's gradients.
    """
    for batch in batches:
        if not all(batch[key].isfinite().all() for key in ("input", "target") if key in batch):
            return f"a photo among {', '.join(batch['name'])} is not finite"
        with torch.no_grad(), captured(model) as stages:
            image = model(batch["input"], **known(batch)).image
        for number, state in enumerate(stages, 1):
            blocks = [name for name, value in state.items() if not value.isfinite().all()]
            if blocks:
                return f"stage {number} went bad first, in {', '.join(blocks)}"
        if not image.isfinite().all():
            return "the model's output went bad" + " after its last stage" * bool(stages)
    for player in players.values():
        named = {n: p.grad for n, p in player.named_parameters() if p.grad is not None}
        for name, gradient in whole(named).items():
            if not gradient.isfinite().all():
                return f"the gradient of {name} is not finite, though the model's output is"
    return "the model's output is finite: the loss itself is to blame"
