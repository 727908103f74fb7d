"""Accumulation and clipping of gradients."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from .distributed import gathered
from .task import Batch


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
