"""Recipes from files, and by name."""

from __future__ import annotations

import copy
import difflib
import os
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .error import TrainingError
from .recipe import Recipe

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]


def recipes() -> list[str]:
    """The names of the recipes that come with the library."""
    found = (p.name for p in _folder().iterdir())
    return sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml"))


def recipe_text(name: str) -> str:
    """A recipe that comes with the library, as TOML to copy and edit.

    Raises:
        TrainingError: there is none of that name.
    """
    if name not in recipes():
        close = difflib.get_close_matches(name, recipes(), 1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(recipes())}"
        raise TrainingError(f"no recipe {name!r}; {hint} (a file of your own ends in .toml)")
    return _folder().joinpath(f"{name}.toml").read_text(encoding="utf-8")


def read_recipe(name: str | os.PathLike[str], changes: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe by name, or from a ``.toml`` file, with changes on top.

    Args:
        name: one of `recipes`, or a path.
        changes: path -> value, such as ``{"phases.0.steps": 10, "model.K": 2}``.

    Raises:
        TrainingError: it cannot be read; or every fault of it, a line each, with its path.
    """
    try:
        own = str(name).endswith(".toml")
        values = tomllib.loads(Path(name).read_text("utf-8") if own else recipe_text(str(name)))
    except TrainingError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise TrainingError(f"{name}: cannot be read as a recipe ({reason})") from error
    for path, value in (changes or {}).items():
        _change(values, path, value)
    return parse_recipe(values, str(name))


def parse_recipe(values: Mapping[str, Any], name: str = "recipe") -> Recipe:
    """A recipe from its mapping.

    Raises:
        TrainingError: every fault, a line each, with its path.
    """
    try:
        return Recipe.model_validate(copy.deepcopy(dict(values)))
    except ValidationError as error:
        lines = [
            ": ".join(filter(None, (_path(e["loc"]), e["msg"].removeprefix("Value error, "))))
            for e in error.errors()
        ]
        count = f"{len(lines)} fault{'s' * (len(lines) > 1)}"
        raise TrainingError("\n  ".join((f"{name}: {count}", *lines))) from error


def _change(values: Any, path: str, value: Any) -> None:
    """Set what a path leads to; a component given by its name becomes one with options."""
    *way, last = (int(key) if key.isdecimal() else key for key in path.split("."))
    try:
        for key in way:
            if isinstance(values, dict):
                inner = values.setdefault(key, {})
                if isinstance(inner, str):
                    values[key] = {"kind": inner}
            values = values[key]
        values[last] = value
    except (TypeError, IndexError, KeyError) as error:
        raise TrainingError(f"{path}={value}: the recipe has no such place") from error


def _path(place: tuple[int | str, ...]) -> str:
    """Where a fault is; without the kind of data, which pydantic inserts and no file has."""
    kinds = {"synthesized", "paired", "unpaired", "photos"}
    return ".".join(
        str(k) for i, k in enumerate(place) if not (k in kinds and i and place[i - 1] == "data")
    )


def _folder():
    return files("unfold.training") / "recipes"
