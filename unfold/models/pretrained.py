"""The weights that come with the library.

Each is a folder in ``shipped``, as `unfold.models.weights.save_model` writes it, in half
precision, with a card (README.md): data, recipe, results, failures.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .weights import is_model_folder

_SHIPPED = Path(__file__).parent / "shipped"
# Models that take the weights of another, and the options in which they differ from it.
_BORROWED = {"deblur": ("deconv-small", {"kernel_estimator": "blind", "careful": True})}


def pretrained_models() -> list[str]:
    """Names of the models for which weights are shipped."""
    own = (folder.name for folder in _SHIPPED.iterdir() if is_model_folder(folder))
    return sorted([*own, *_BORROWED])


def with_weights(config: Mapping[str, Any]) -> dict[str, Any]:
    """A model's config with the shipped weights in it, for each model that has some.

    ``{"kind": "jude-small"}`` becomes a config of `unfold.models.weights.trained`, in a cascade
    too; a model without shipped weights stays as it is. Options given are kept: those that the
    weights were trained with stand where none is given.
    """
    kind = config.get("kind")
    if kind == "cascade":
        models = [with_weights(_mapping(model)) for model in config.get("models", ())]
        return {**config, "models": models}
    if kind not in pretrained_models():
        return dict(config)
    lender, differences = _BORROWED.get(kind, (kind, {}))
    options = differences | {name: value for name, value in config.items() if name != "kind"}
    return {"kind": "trained", "folder": str(_SHIPPED / lender), "options": options}


def _mapping(model: str | Mapping[str, Any]) -> Mapping[str, Any]:
    return {"kind": model} if isinstance(model, str) else model
