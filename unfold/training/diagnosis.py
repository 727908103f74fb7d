"""The cause of a loss or gradient that is not finite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from unfold.restorer import Restorer

from .distributed import whole
from .task import Batch, captured, known


def bad(values: Mapping[str, float]) -> list[str]:
    """The names of values that are infinite or NaN."""
    return [name for name, value in values.items() if not torch.tensor(value).isfinite()]


def find_cause(model: Restorer, batches: Sequence[Batch], tasks: Mapping[str, nn.Module]) -> str:
    """The first non-finite value: a photo, a block of a stage, the model, or a gradient.

    Args:
        model: the model with the weights of the failed step.
        batches: the batches of the step.
        tasks: the tasks with the gradients of the step.
    """
    for batch in batches:
        if not all(batch[key].isfinite().all() for key in ("input", "target") if key in batch):
            return f"a photo of {', '.join(batch['name'])} has NaN or infinite values"
        with torch.no_grad(), captured(model) as stages:
            image = model(batch["input"], **known(batch)).image
        for number, state in enumerate(stages, 1):
            blocks = [name for name, value in state.items() if not value.isfinite().all()]
            if blocks:
                where = ", ".join(blocks)
                return f"stage {number} is the first with values that are not finite, in {where}"
        if not image.isfinite().all():
            return "the model's output is not finite" + " after its last stage" * bool(stages)
    for task in tasks.values():
        named = {n: p.grad for n, p in task.named_parameters() if p.grad is not None}
        for name, gradient in whole(named).items():
            if not gradient.isfinite().all():
                return f"the gradient of {name} is not finite, but the model's output is"
    return "the model's output is finite, but the loss is not"
