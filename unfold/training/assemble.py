"""Assembly of a training from its recipe: tasks, optimizers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from unfold.core import Prior, Unrolled
from unfold.restorer import Restorer

from .distributed import Distributed, shard
from .error import TrainingError
from .recipe import Recipe
from .task import Supervised, Task
from .unpaired import Discriminator, Generators


@dataclass(frozen=True)
class Components:
    """The parts of a training.

    Attributes:
        model: the restoration model.
        tasks: by name, in their order within a step.
        optimizers: one for each task.
        average: the average of the model's weights over the steps, if the recipe has ``ema``.
    """

    model: Restorer
    tasks: dict[str, Task]
    optimizers: dict[str, torch.optim.Optimizer]
    average: AveragedModel | None


def assemble(recipe: Recipe, distributed: Distributed) -> Components:
    """Build the tasks of a recipe on a device, with initial weights drawn from its seed.

    Raises:
        ComponentError, MetricError, LossError: if a component cannot be built.
        TrainingError: if the model has no parameters to train, has a prior without gradient, or
            cannot be sharded.
    """
    device = distributed.device
    torch.manual_seed(recipe.seed)
    model: Restorer = recipe.model.build()
    _freeze(model, recipe.frozen)
    tasks: dict[str, Task]
    if recipe.adversary is None:
        losses = [(w.title, w.weight, w.loss.build().to(device)) for w in recipe.losses]
        tasks = {"model": Supervised(model, losses)}
    else:
        given = recipe.adversary
        discriminator: nn.Module = given.discriminator.build()
        weights = {name: getattr(given, name) for name in ("adversarial", "cycle", "identity")}
        tasks = {
            "generators": Generators(model, given.backward.build(), discriminator, **weights),
            "discriminator": Discriminator(discriminator),
        }
    for task in tasks.values():
        _check_gradients(task)
    sharded = recipe.parallel == "fsdp" and distributed.size > 1
    for task in tasks.values():
        task.to(device).train()
        if not sharded:  # (FSDP takes only contiguous parameters.)
            # Convolutions are faster so, on CPUs too.
            task.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in task.modules():
            if isinstance(module, Unrolled):
                module.recompute = recipe.recompute
    average = None
    if recipe.ema is not None:
        average = AveragedModel(
            model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=False
        )
    if sharded:  # before the optimizers, which keep what they update; shards cannot be copied
        for copy in [model] if average is None else [model, average.module]:
            shard(copy, device, distributed.size)
    optimizers = {name: _optimizer(recipe, task) for name, task in tasks.items()}
    if recipe.compile:
        for task in tasks.values():
            task.compile()
    return Components(model, tasks, optimizers, average)


def _freeze(model: nn.Module, names: tuple[str, ...]) -> None:
    parts = dict(model.named_modules())
    for name in names:
        if not name or name not in parts:
            have = ", ".join(
                name for name, part in model.named_children() if list(part.parameters())
            )
            raise TrainingError(
                f"frozen: the model has no part {name!r}; parts with weights are: {have}"
            )
        parts[name].requires_grad_(False)


def _check_gradients(task: nn.Module) -> None:
    """Check that gradients pass through all priors.

    Raises:
        TrainingError: if a prior of the task has no gradient.
    """
    for path, module in task.named_modules():
        if isinstance(module, Prior) and not module.differentiable:
            # A Lagrangian keeps its priors by block: "...lagrangian.priors.Z".
            _, found, block = path.rpartition(".priors.")
            where = f"block {block.partition('.')[0]}" if found else path
            raise TrainingError(
                f"the model cannot be trained: {type(module).__name__}, its prior of {where}, is "
                "not differentiable; choose a differentiable prior for training (such as --set "
                "model.prior=resunet), and this one only for restoration"
            )


def _optimizer(recipe: Recipe, task: nn.Module) -> torch.optim.Optimizer:
    given = recipe.optimizer
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[given.kind]
    learning = [p for p in task.parameters() if p.requires_grad]
    if not learning:
        raise TrainingError(f"{recipe.model.kind} has no parameters to train: choose another model")
    return kind(
        learning, lr=recipe.phases[0].lr, betas=given.betas, weight_decay=given.weight_decay
    )
