"""A dry run of a recipe."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils import data

from .assemble import assemble
from .distributed import Distributed
from .error import TrainingError
from .recipe import Recipe
from .samples import sample_sheet, write_sheet
from .stream import open_stream
from .task import Task
from .validation import Validator


def preview(recipe: Recipe, picture: Path) -> str:
    """Build the training and compute the losses of the first item on the CPU, without an update.

    Args:
        recipe: the recipe of the training.
        picture: path of a picture of the first batch, restored by the untrained model.

    Returns:
        The model, its parameters, an estimate of memory, the losses before training.

    Raises:
        The errors of `train` if components or data are missing.
    """
    with torch.random.fork_rng():
        components = assemble(recipe, Distributed(torch.device("cpu")))
    phase = recipe.phases[0]
    if recipe.validation:
        Validator(
            recipe.validation, recipe.seed, torch.device("cpu")
        )  # its errors are reported now
    stream = open_stream(recipe.data, phase, recipe.seed)
    try:
        items = [data.default_collate([stream[n]]) for n in range(min(phase.batch, 4))]
    except (ValueError, RuntimeError) as error:  # too small for the crop; of unlike sizes
        raise TrainingError(f"the first batch cannot be made: {error}") from error
    weights = sum(p.numel() for task in components.tasks.values() for p in task.parameters())
    held = weights * 4 * (4 + (recipe.ema is not None))
    lines = [f"parameters: {weights:,}", f"weights, gradients, moments: {_size(held)}"]
    losses: dict[str, float] = {}
    one = 0
    for task in components.tasks.values():
        found, kept = _measure(task, items[0])
        losses, one = losses | found, max(one, kept)
    for number, each in enumerate(recipe.phases):
        # What is kept for the gradient grows with the pixels.
        photos = each.batch // recipe.accumulation
        whole = one * photos * (each.crop / phase.crop) ** 2
        lines.append(
            f"phase {number + 1}: {each.steps} steps of {each.batch} at {each.crop}×{each.crop}, "
            f"about {_size(whole + held)} of memory on one device, without temporary memory"
        )
    lines.append("initial losses: " + ", ".join(f"{k} {v:.4g}" for k, v in losses.items()))
    write_sheet(picture, sample_sheet(components.model, items))
    lines.append(f"wrote {picture}: input, output, target and parts of the first photos")
    return "\n".join([components.model.explain(), "", *lines])


def _measure(task: Task, batch: dict) -> tuple[dict[str, float], int]:
    """The losses of a task, and the bytes of its graph without its parameters."""
    own = {p.untyped_storage().data_ptr() for p in task.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        losses = task(batch)
    return {name: loss.item() for name, loss in losses.items()}, sum(kept.values())


def _size(count: float) -> str:
    return f"{count / 2**30:.2f} GiB" if count > 2**29 else f"{count / 2**20:.0f} MiB"
