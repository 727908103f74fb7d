"""Recipes from files and by name, and their differences."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from unfold._shipped import ShippedFiles
from unfold.registry.messages import error_messages

from .error import TrainingError
from .recipe import Recipe

_SHIPPED = ShippedFiles("unfold.training", TrainingError)


def recipes() -> list[str]:
    """The names of the shipped recipes.

    Example:
        >>> from unfold.training import recipes
        >>> [name for name in recipes() if name.startswith("zero")]
        ['zero-dce', 'zero-dce-small']
    """
    return _SHIPPED.names()


def recipe_text(name: str) -> str:
    """A shipped recipe as TOML, to be copied and edited.

    Raises:
        TrainingError: if no recipe has that name.

    Example:
        >>> from unfold.training import recipe_text
        >>> recipe_text("zero-dce").startswith("about = ")
        True
    """
    return _SHIPPED.text(name)


def read_recipe(name: str | os.PathLike[str], changes: Mapping[str, Any] | None = None) -> Recipe:
    """A recipe by name or from a ``.toml`` file, with changes.

    Args:
        name: one of `recipes`, or a path.
        changes: path -> value, such as ``{"phases.0.steps": 10, "model.K": 2}``.

    Raises:
        TrainingError: if it cannot be read or is invalid; the message has one line with the path of
            each error.

    Example:
        >>> from unfold.training import read_recipe
        >>> recipe = read_recipe("jude-small", {"data.source": "photos", "model.K": 2})
        >>> recipe.model.kind
        'jude-small'
    """
    values = _SHIPPED.read(name)
    for path, value in (changes or {}).items():
        _change(values, path, value)
    return parse_recipe(values, str(name))


def parse_recipe(values: Mapping[str, Any], name: str = "recipe") -> Recipe:
    """A recipe from a mapping.

    Raises:
        TrainingError: if it is invalid; the message has one line with the path of each error.

    Example:
        >>> from unfold.training import parse_recipe
        >>> recipe = parse_recipe({
        ...     "model": "zero-dce",
        ...     "data": {"kind": "photos", "source": "photos"},
        ...     "losses": [{"loss": "color-constancy", "weight": 5}],
        ...     "phases": [{"steps": 10, "batch": 2, "crop": 32, "lr": 1e-4}],
        ... })
        >>> recipe.steps
        10
    """
    try:
        return Recipe.model_validate(copy.deepcopy(dict(values)))
    except ValidationError as error:
        lines = error_messages(error, _path)
        count = f"{len(lines)} error{'s' * (len(lines) > 1)}"
        raise TrainingError("\n  ".join((f"{name}: {count}", *lines))) from error


def _change(values: Any, path: str, value: Any) -> None:
    """Set the value at a path. A component given by name becomes one with options."""
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
        raise TrainingError(f"{path}={value}: the recipe has no such entry") from error


def _path(place: tuple[int | str, ...]) -> str:
    """The path of an error, without the kind of data that pydantic inserts."""
    kinds = {"synthesized", "paired", "unpaired", "photos"}
    return ".".join(
        str(k) for i, k in enumerate(place) if not (k in kinds and i and place[i - 1] == "data")
    )


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """The differences of two configs: ``phases.0.lr: 0.1 -> 0.2``."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        pairs = [(key, old.get(key), new.get(key)) for key in keys]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = list(zip(range(len(old)), old, new, strict=True))
    else:
        return [] if old == new else [f"{path}: {old} -> {new}"]
    return [line for key, a, b in pairs for line in differences(a, b, f"{path}.{key}".lstrip("."))]
