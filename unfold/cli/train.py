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

from ._common import CommandError, find_device

if TYPE_CHECKING:
    from unfold.training import Recipe, Trainer


def add(parser: argparse.ArgumentParser) -> None:
    """Train a model by a recipe."""
    parser.description = (
        "Train by a recipe: `unfold train jude-small --set data.source=PHOTOS`. The "
        "same command goes on where a run was stopped or killed. Several GPUs: torchrun "
        "--nproc-per-node 4 -m unfold train ... Then: unfold restore --model DIR."
    )
    parser.add_argument(
        "recipe", nargs="?", metavar="RECIPE", help="one of `unfold train --list`, or a .toml file"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="changes",
        help="a change of the recipe, e.g. phases.0.steps=100 or model.K=2 (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--out", type=Path, metavar="DIR",
        help="for checkpoints, records and weights (default: runs/ and the recipe's name)",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, ... (default: auto)")
    parser.add_argument(
        "--workers", type=_count, default=2, metavar="N",
        help="processes that read and degrade photos (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--allow-changes", action="store_true", help="go on though the recipe was another one"
    )
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard's files too")
    parser.add_argument(
        "--dry-run", action="store_true",
        help="show the model, its size, the memory it needs and the first photos; train nothing",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="list the recipes that come with it")
    parser.add_argument(
        "--show", action="store_true", help="print a recipe, to copy and edit: --show > mine.toml"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from unfold.datasets import DataError
    from unfold.imaging import ImageError
    from unfold.losses import LossError
    from unfold.metrics import MetricError
    from unfold.training import TrainingError

    try:
        return _run(arguments)
    except (TrainingError, ImageError, DataError, MetricError, LossError) as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        place = error.filename or arguments.out or "the run's folder"
        raise CommandError(
            f"{place}: {error.strerror or error}; see that it can be written and has room"
        ) from error


def _run(arguments: argparse.Namespace) -> int:
    from unfold.training import read_recipe, recipe_text, recipes, train

    if arguments.list:
        for name in recipes():
            about = recipe_text(name).partition('"')[2].partition('"')[0]
            print(f"{name:<14} {about}")
        return 0
    if arguments.recipe is None:
        raise CommandError("name a recipe: one of `unfold train --list`, or a .toml file")
    if arguments.show:
        print(recipe_text(arguments.recipe), end="")
        return 0
    recipe = read_recipe(arguments.recipe, _changes(arguments.changes))
    folder = arguments.out or Path("runs", Path(arguments.recipe).stem)
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
