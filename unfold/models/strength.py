"""The option ``strength`` in any config of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unfold.registry.spec import spec_type

from .cascade import cascade
from .weights import read_facts, trained

STRENGTH = "strength"


def with_strength(config: Mapping[str, Any] | str, strength: float) -> dict[str, Any] | None:
    """A model's config with the option ``strength``, the weight of its priors against the data.

    In a cascade, every model that has the option receives it, and so does the model in a folder of
    learned weights.

    Returns:
        The new config; None if no model in it has the option.

    Raises:
        ComponentError: if a model is unknown, or a folder contains no model.
    """
    config = {"kind": config} if isinstance(config, str) else dict(config)
    if not isinstance(config.get("kind"), str):
        return None  # an invalid config, which is reported when it is resolved
    spec = spec_type("models", config["kind"])
    if spec.component is cascade:
        return _in_cascade(config, strength)
    if spec.component is trained:
        return _in_folder(config, strength)
    return {**config, STRENGTH: strength} if STRENGTH in spec.model_fields else None


def _in_cascade(config: dict[str, Any], strength: float) -> dict[str, Any] | None:
    models = config.get("models", ())
    changed = [with_strength(model, strength) for model in models]
    if not any(changed):
        return None
    return {**config, "models": [new or old for new, old in zip(changed, models, strict=True)]}


def _in_folder(config: dict[str, Any], strength: float) -> dict[str, Any] | None:
    options = config.get("options", {})
    model = {**read_facts(Path(config["folder"]))["model"], **options}
    changed = with_strength(model, strength)
    if changed is None:
        return None
    new = {name: value for name, value in changed.items() if value != model.get(name)}
    return {**config, "options": {**options, **new}}
