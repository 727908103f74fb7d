"""Recipes of training and of synthesis, changed as text or in their values."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

from fuzzing.hostile import changed, scrambled

from unfold import synthesis, training
from unfold.registry.config import tomllib
from unfold.synthesis.recipe import RecipeError, parse_recipe
from unfold.training import TrainingError, reading

# What recipes of training leave to whoever trains.
PLACES = {"source": "photos", "input": "bad", "target": "good", "root": "pairs"}
NEEDS = {
    "synthesized": ("source",),
    "photos": ("source",),
    "unpaired": ("input", "target"),
    "paired": ("root",),
}


@cache
def seeds() -> tuple[tuple[str, str], ...]:
    """The recipes that come with the library, as text."""
    trained = [("training", training.recipe_text(name)) for name in training.recipes()]
    made = [("synthesis", synthesis.recipe_text(name)) for name in synthesis.recipes()]
    return (*trained, *made)


def make(rng: random.Random) -> dict[str, Any]:
    """A recipe's text that is damaged, or its values, of which some are changed."""
    kind, text = rng.choice(seeds())
    if rng.random() < 0.3:
        return {"kind": kind, "text": scrambled(text.encode(), rng)}
    return {"kind": kind, "values": changed(filled(tomllib.loads(text)), rng)}


def filled(values: dict[str, Any]) -> dict[str, Any]:
    """A recipe's values, with folders where it has none."""
    for data in (values.get("data"), values.get("validation", {}).get("data")):
        if data:
            data.update({n: PLACES[n] for n in NEEDS.get(data["kind"], ()) if n not in data})
    return values


def attempt(case: dict, folder: Path) -> bool:
    """Whether it is a recipe. Raises what reading one must not raise."""
    try:
        if "values" in case:
            parse = reading.parse_recipe if case["kind"] == "training" else parse_recipe
            parse(case["values"])
        else:
            path = write_down(case, folder)
            (training if case["kind"] == "training" else synthesis).read_recipe(path)
    except (TrainingError, RecipeError):
        return False
    return True


def write_down(case: dict, folder: Path) -> str:
    """Keep a case in a file; returns its path."""
    path = folder / "case.toml"
    path.write_bytes(case["text"] if "text" in case else repr(case["values"]).encode())
    return str(path)
