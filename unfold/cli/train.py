"""``unfold train``: a recipe carried out."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._common import CommandError, ShowRecipe, add_device, find_device

if TYPE_CHECKING:
    from unfold.training import Recipe, Trainer


def add(parser: argparse.ArgumentParser) -> None:
    """Train a model by a recipe.

    Writes checkpoints, records and weights into a folder, which `unfold restore --model DIR` takes.
    The same command goes on where a run was stopped or killed. On several GPUs: torchrun
    --nproc-per-node 4 -m unfold train ...

    Example:
        unfold train jude-small --set data.source=PHOTOS -o runs/jude-small
        unfold train --show jude-small > mine.toml
    """
    parser.add_argument(
        "recipe", metavar="RECIPE", help="one of `unfold list recipes`, or a .toml file"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes",
        help="a change of the recipe, e.g. phases.0.steps=100 or model.K=2 (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, metavar="DIR",
        help="for checkpoints, records and weights (default: runs/ and the recipe's name)",
    )  # fmt: skip
    parser.add_argument(
        "--show", action=ShowRecipe, const=_text, metavar="NAME",
        help="print a recipe, to copy and edit, and end",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true",
        help="show the model, its size, the memory it needs and the first photos; train nothing",
    )  # fmt: skip
    parser.add_argument(
        "--allow-changes", action="store_true", help="go on though the recipe has changed"
    )
    add_device(parser)
    parser.add_argument(
        "--workers", type=_count, default=2, metavar="N",
        help="processes that read and degrade photos; 0 is none beside the training",
    )  # fmt: skip
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard's files too")
    parser.set_defaults(run=run)


def _text(name: str) -> str:
    from unfold.training import recipe_text

    return recipe_text(name)


def run(arguments: argparse.Namespace) -> int:
    from unfold.training import read_recipe, train

    recipe = read_recipe(arguments.recipe, _changes(arguments.changes))
    folder = arguments.output or Path("runs", Path(arguments.recipe).stem)
    if arguments.dry_run:
        from unfold.training.preview import preview

        print(preview(recipe, folder / "dry-run.png"))
        return 0
    with contextlib.ExitStack() as ends:  # the bar's line, before any error's
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
        print(f"unfold: stopped; the same command goes on from {folder}", file=sys.stderr)
        return 130
    if os.environ.get("RANK", "0") == "0":  # of torchrun's processes, one tells
        print(f"trained: {folder}; try: unfold restore --model {folder} PHOTO --output OUT")
    return 0


def _progress(
    trainer: Trainer, recipe: Recipe, ends: contextlib.ExitStack
) -> Callable[[int, dict[str, float]], None]:
    """A bar with the rate, the time left, and the losses."""
    from tqdm import tqdm

    bar = ends.enter_context(
        tqdm(total=recipe.steps, initial=trainer.step, unit="step", file=sys.stderr)
    )

    def watch(step: int, losses: dict[str, float]) -> None:
        shown = {name: f"{value:.4f}" for name, value in losses.items()}
        best = trainer.best
        if best:
            shown[f"best {best['metric']}"] = f"{best['value']:.2f}"
        bar.set_postfix(shown, refresh=False)
        bar.update()

    return watch


def _changes(assignments: list[str]) -> dict[str, Any]:
    found = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not (equals and all(path.split("."))):
            raise CommandError(f"--set {assignment}: must be KEY=VALUE, e.g. phases.0.steps=100")
        try:
            found[path] = json.loads(text)
        except ValueError:
            found[path] = text
    return found


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number from 0, got {text!r}")
    return int(text)
