"""What a recipe names, built: players, optimizers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from unfold.core import Prior, Unrolled
from unfold.restorer import Restorer

from .error import TrainingError
from .player import Player, Supervised
from .recipe import Recipe
from .sharding import shard
from .unpaired import Discriminator, Generators
from .world import World


@dataclass(frozen=True)
class Cast:
    """Who takes part in a training.

    Attributes:
        model: what is wanted in the end.
        players: by name, in the order of their turns.
        optimizers: of each.
        average: of the model's weights over the steps, where the recipe wants one.
    """

    model: Restorer
    players: dict[str, Player]
    optimizers: dict[str, torch.optim.Optimizer]
    average: AveragedModel | None


def assemble(recipe: Recipe, world: World) -> Cast:
    """Build a recipe's players on a device, with the weights that its seed gives.

    Raises:
        ComponentError, MetricError, LossError: a component cannot be built.
        TrainingError: the model has nothing to learn, has a prior without a gradient, or cannot be
            sharded.
    """
    device = world.device
    torch.manual_seed(recipe.seed)
    model: Restorer = recipe.model.build()
    players: dict[str, Player]
    if recipe.adversary is None:
        losses = [(w.title, w.weight, w.loss.build().to(device)) for w in recipe.losses]
        players = {"model": Supervised(model, losses)}
    else:
        given = recipe.adversary
        judge: nn.Module = given.discriminator.build()
        weights = {name: getattr(given, name) for name in ("adversarial", "cycle", "identity")}
        players = {
            "generators": Generators(model, given.backward.build(), judge, **weights),
            "discriminator": Discriminator(judge),
        }
    for player in players.values():
        _check_gradients(player)
    sharded = recipe.parallel == "fsdp" and world.size > 1
    for player in players.values():
        player.to(device).train()
        if not sharded:  # (FSDP takes only contiguous parameters.)
            # Convolutions are faster so, on CPUs too.
            player.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in player.modules():
            if isinstance(module, Unrolled):
                module.recompute = recipe.recompute
    average = None
    if recipe.ema is not None:
        average = AveragedModel(
            model, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=False
        )
    if sharded:  # before the optimizers, which keep what they update; shards cannot be copied
        for copy in [model] if average is None else [model, average.module]:
            shard(copy, device, world.size)
    optimizers = {name: _optimizer(recipe, player) for name, player in players.items()}
    if recipe.compile:
        for player in players.values():
            player.compile()
    return Cast(model, players, optimizers, average)


def _check_gradients(player: nn.Module) -> None:
    """Refuse priors that no gradient passes through, before hours are spent.

    Raises:
        TrainingError: the player has one.
    """
    for path, module in player.named_modules():
        if isinstance(module, Prior) and not module.differentiable:
            # A Lagrangian keeps its priors by block: "...lagrangian.priors.Z".
            _, found, block = path.rpartition(".priors.")
            where = f"block {block.partition('.')[0]}" if found else path
            raise TrainingError(
                f"the model cannot be trained: {type(module).__name__}, its prior of {where}, is "
                "not differentiable; choose a differentiable prior for training (such as --set "
                "model.prior=resunet), and this one only for restoration"
            )


def _optimizer(recipe: Recipe, player: nn.Module) -> torch.optim.Optimizer:
    given = recipe.optimizer
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[given.kind]
    learning = [p for p in player.parameters() if p.requires_grad]
    if not learning:
        raise TrainingError(f"{recipe.model.kind} has no parameters to learn: train another model")
    return kind(
        learning, lr=recipe.phases[0].lr, betas=given.betas, weight_decay=given.weight_decay
    )
