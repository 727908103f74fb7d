"""Trains a recipe for a given time on a device, where its photos stay.

    python train.py RECIPE --seconds S -o RUN [--device cuda] [--steps N] [--set KEY=VALUE ...]

Makes as many steps as there is time for, more or fewer than the recipe has: it begins as if there
were no end, to see how fast it goes; goes on with so many steps that the learning rate comes to
its end in time; and where it has misjudged that, ends with the weights that it has. Run it where
the recipe's folders are. RUN holds what `unfold train` leaves, and figures.json.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from unfold.training import Recipe, Trainer, parse_recipe, read_recipe, train

MEASURED = 8  # steps, at least, that tell how fast it goes
ENDLESS = 1000  # times the recipe's steps
SAFETY = 0.85  # of the time that is left: validation and checkpoints take some


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--steps", type=int, help="at most, as for a rehearsal")
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="KEY=VALUE")
    given = parser.parse_args()
    recipe = read_recipe(given.recipe, {"on_device": True, **parsed(given.changes)})
    figures = train_for(given.seconds, recipe, given.output, given.device, given.steps)
    (given.output / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")


def train_for(
    seconds: float, recipe: Recipe, out: Path, device: str, most: int | None = None
) -> dict[str, Any]:
    """Train within a time, for at most so many steps; how far it came, and how fast."""
    begin = time.monotonic()
    most = most or ENDLESS * recipe.steps
    pace = Pace(begin + 0.2 * seconds, least=MEASURED)
    done = train(fitted(recipe, most), out, device=device, begin=pace.watch)
    if not done:
        left = SAFETY * (seconds - (time.monotonic() - begin))
        steps = pace.step + max(1, math.floor(left * pace.steps_per_second))
        planned = fitted(recipe, min(most, steps))
        pace = Pace(begin + seconds)
        done = train(planned, out, device=device, allow_changes=True, begin=pace.watch)
    if not done:  # its weights are in the last checkpoint
        train(ended(recipe, pace.step), out, device=device, allow_changes=True)
    memory = torch.cuda.max_memory_allocated() if torch.device(device).type == "cuda" else None
    return {
        "steps": pace.step,
        "schedule": "ended" if done else "cut short",
        "seconds": time.monotonic() - begin,
        "steps_per_second": pace.steps_per_second,
        "photos_per_second": pace.steps_per_second * recipe.phases[0].batch,
        "best": pace.best,
        "bytes_of_gpu": memory,
    }


class Pace:
    """Watches a training, and stops it when its time is over and it has made some steps.

    Attributes:
        step: the last one.
        best: as the trainer has it.
    """

    def __init__(self, end: float, least: int = 1) -> None:
        self.end, self.least, self.step, self.best = end, least, 0, {}
        self._times: list[float] = []

    def watch(self, trainer: Trainer) -> Callable[[int, dict[str, float]], None]:
        self.step, self.best = trainer.step, trainer.best

        def after(step: int, losses: dict[str, float]) -> None:
            self.step, self.best = step, trainer.best
            self._times.append(time.monotonic())
            over = self._times[-1] >= self.end and len(self._times) >= self.least
            trainer.stopping = trainer.stopping or over

        return after

    @property
    def steps_per_second(self) -> float:
        """Of the later half: in the first, photos are read and kernels are chosen."""
        times = self._times[len(self._times) // 2 :]
        return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else 0.0


def fitted(recipe: Recipe, steps: int) -> Recipe:
    """The recipe in that many steps; it validates and keeps as often as before."""
    values = recipe.model_dump(mode="json")
    share = steps / recipe.steps
    for phase in values["phases"]:
        phase["steps"] = max(1, round(share * phase["steps"]))
        if phase["halve"]:
            phase["halve"] = max(1, round(share * phase["halve"]))
    for name in ("validation", "checkpoint", "samples"):
        if values[name]:
            values[name]["every"] = max(1, round(share * values[name]["every"]))
    return parse_recipe(values)


def ended(recipe: Recipe, steps: int) -> Recipe:
    """The recipe as if it ended with a step."""
    values = recipe.model_dump(mode="json")
    return parse_recipe(values | {"phases": [values["phases"][0] | {"steps": max(1, steps)}]})


def parsed(changes: list[str]) -> dict[str, Any]:
    """``KEY=VALUE`` as `unfold train` reads it: JSON, or else a text."""
    found = {}
    for change in changes:
        key, _, text = change.partition("=")
        try:
            found[key] = json.loads(text)
        except ValueError:
            found[key] = text
    return found


if __name__ == "__main__":
    main()
