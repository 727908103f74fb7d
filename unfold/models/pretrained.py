"""The weights that are shipped with the library.

Each model is a folder in ``shipped``, written by `unfold.models.weights.save_model` in half
precision, with a card (README.md): data, recipe, results, failures.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .weights import is_model_folder

_SHIPPED = Path(__file__).parent / "shipped"
# Models that use the weights of another model, and the options in which they differ from it.
_BORROWED = {"deblur": ("deconv-small", {"kernel_estimator": "blind", "careful": True})}


def pretrained_models() -> list[str]:
    """Names of the models for which weights are shipped."""
    own = (folder.name for folder in _SHIPPED.iterdir() if is_model_folder(folder))
    return sorted([*own, *_BORROWED])


def with_weights(config: Mapping[str, Any]) -> dict[str, Any]:
    """A model's config with shipped weights for each model that has some.

    ``{"kind": "jude-small"}`` becomes a config of `unfold.models.weights.trained`, also within a
    cascade; a model without shipped weights is not changed. Given options are kept; the options of
    the training apply to the others.
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
