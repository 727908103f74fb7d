"""A step of training: seeds, gradients, and the cause of a value that is not finite."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from unfold.restorer import Restorer

from .distributed import gathered, whole
from .task import Batch, captured, known


def accumulate(task: nn.Module, parts: Sequence[Batch], *, half: bool) -> dict[str, Tensor]:
    """Add the gradient of the mean over the parts to a task's parameters.

    Args:
        task: the task, which is called with each part. With several processes, gradients are
            averaged over them in the last call.
        parts: parts of equal size.
        half: whether networks compute in bfloat16.

    Returns:
        Name -> mean of the loss over the parts.
    """
    found: dict[str, Tensor] = {}
    for number, batch in enumerate(parts, 1):
        wait = contextlib.nullcontext
        if number < len(parts) and isinstance(task, DistributedDataParallel):
            wait = task.no_sync
        with wait():
            with torch.autocast(batch["input"].device.type, torch.bfloat16, enabled=half):
                losses = task(batch)
                total = torch.stack([loss.float() for loss in losses.values()]).sum()
            (total / len(parts)).backward()
        for name, loss in losses.items():
            found[name] = found.get(name, 0) + loss.detach() / len(parts)
    return found


def clip(parameters: Sequence[nn.Parameter], limit: float | None) -> Tensor:
    """Scale the gradient down to a limit of its norm. Returns the norm before.

    A gradient that is not finite is not changed, so that its parameter can be identified.
    """
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    norm = gathered(norm)
    if limit is not None and norm.isfinite():
        nn.utils.clip_grads_with_norm_(parameters, limit, norm)
    return norm


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


def seed_all(seed: int, step: int, rank: int) -> None:
    """Seed torch, NumPy and Python for a step of a process."""
    digest = hashlib.sha256(f"{seed}/{step}/{rank}".encode()).digest()
    number = int.from_bytes(digest[:4], "big")
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


@contextlib.contextmanager
def own_rng() -> Iterator[None]:
    """A context that restores the state of the caller's generators."""
    numpy_state, python_state = np.random.get_state(), random.getstate()
    with torch.random.fork_rng():
        yield
    np.random.set_state(numpy_state)
    random.setstate(python_state)
