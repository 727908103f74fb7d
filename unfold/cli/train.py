"""``unfold train``: trains a model by a recipe."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ._common import (
    ShowRecipe,
    add_device,
    declare,
    find_device,
    parse_assignment,
    positive_int,
)

if TYPE_CHECKING:
    from unfold.training import Recipe, Trainer


def add(parser: argparse.ArgumentParser) -> None:
    """Train a model by a recipe.

    Writes checkpoints, records and weights into a folder, which `unfold restore --model DIR` takes.
    The same command continues a run that was stopped or killed. On several GPUs: torchrun
    --nproc-per-node 4 -m unfold train ...

    Example:
        unfold train jude-small --set data.source=PHOTOS -o runs/jude-small
        unfold train --show jude-small > mine.toml
    """
    declare(parser, "recipe RECIPE", "one of `unfold list recipes`, or a .toml file")
    declare(parser, "-o --output DIR", "folder for checkpoints, records and weights (default: "
            "runs/ and the recipe's name)")  # fmt: skip
    declare(parser, "--set KEY=VALUE", "change the recipe, e.g. phases.0.steps=100 or "
            "model.K=2", repeat=True, dest="changes")  # fmt: skip
    declare(parser, "--show NAME", "print a recipe, to copy and edit, and exit",
            action=ShowRecipe, const=_text)  # fmt: skip
    declare(parser, "--dry-run", "show the model, its size, the memory it needs and the first "
            "photos; train nothing")  # fmt: skip
    declare(parser, "--allow-changes", "continue although the recipe has changed")
    add_device(parser)
    declare(parser, "--workers N", "processes that read and degrade photos; 0: the training "
            "process does", type=partial(positive_int, least=0), default=2)  # fmt: skip
    declare(parser, "--tensorboard", "also write TensorBoard files")
    parser.set_defaults(run=run)


def _text(name: str) -> str:
    from unfold.training import recipe_text

    return recipe_text(name)


def run(arguments: argparse.Namespace) -> int:
    from unfold.training import read_recipe, train

    changes = dict(parse_assignment(c, "phases.0.steps=100") for c in arguments.changes)
    recipe = read_recipe(arguments.recipe, changes)
    folder = arguments.output or Path("runs", Path(arguments.recipe).stem)
    if arguments.dry_run:
        from unfold.training.preview import preview
        from unfold.training.run import own

        with own(folder):
            print(preview(recipe, folder / "dry-run.png"))
        return 0
    with contextlib.ExitStack() as ends:  # closes the bar before an error is printed
        done = train(
            recipe,
            folder,
            device=find_device(arguments.device),
            workers=arguments.workers,
            allow_changes=arguments.allow_changes,
            board=arguments.tensorboard,
            begin=lambda trainer: _progress(trainer, recipe, ends),
        )
    if not done:
        print(f"unfold: stopped; the same command continues {folder}", file=sys.stderr)
        return 130
    if os.environ.get("RANK", "0") == "0":  # one of torchrun's processes prints
        print(f"trained: {folder}; try: unfold restore --model {folder} PHOTO --output OUT")
    return 0


def _progress(
    trainer: Trainer, recipe: Recipe, ends: contextlib.ExitStack
) -> Callable[[int, dict[str, float]], None]:
    """A function of a step and its losses that updates a progress bar."""
    from tqdm import tqdm

    bar = ends.enter_context(
        tqdm(total=recipe.steps, initial=trainer.step, unit="step", file=sys.stderr, disable=None)
    )

    def watch(step: int, losses: dict[str, float]) -> None:
        shown = {name: f"{value:.4f}" for name, value in losses.items()}
        best = trainer.best
        if best:
            shown[f"best {best['metric']}"] = f"{best['value']:.2f}"
        bar.set_postfix(shown, refresh=False)
        bar.update()

    return watch
