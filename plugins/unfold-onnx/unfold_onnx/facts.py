"""The metadata of an exported file."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping, Sequence

from torch import Tensor

from unfold.core.digest import tensors_digest
from unfold.registry.catalog import HOME, Component
from unfold.restorer import Restorer

_RGB = "float32 [1, 3, {0}, {0}], RGB, sRGB-encoded, in [0, 1]"
_FEW = 4  # largest number of values that are written out


def facts(
    name: str,
    component: Component | None,
    model: Restorer,
    measured: Mapping[str, Tensor],
    inputs: Sequence[str],
    *,
    size: int,
    overlap: int | None,
) -> dict[str, str]:
    """The metadata of an exported model: name -> text.

    Args:
        name: name of the model, as given by the user.
        component: its component, if the model is an installed one.
        model: the model.
        measured: measurements of the photo.
        inputs: names of the measurements that are inputs of the graph.
        size: size of the tile.
        overlap: overlap of tiles, in pixels on each side; None: a photo must not be cut into tiles.
    """
    distribution = component.distribution if component else HOME
    about = component.summary if component else type(model).__name__
    constants = {n: _written(value) for n, value in measured.items() if n not in inputs}
    return {
        "name": name,
        "description": about,
        "version": importlib.metadata.version(distribution),
        "license": _license(distribution),
        "license_note": "of the code; for the weights see the model's card",
        "input": _RGB.format(size),
        "output": _RGB.format(size),
        "scale": "1",
        "tile_size": str(size),
        "tiling": "false" if overlap is None else "true",
        **({} if overlap is None else {"overlap": str(overlap)}),
        "weights_sha256": tensors_digest(model) or "none",
        "measured": json.dumps(constants),
        "inputs": json.dumps(["input", *inputs]),
    }


def _written(value: Tensor) -> object:
    """The values, if there are few; otherwise their shape."""
    if value.numel() == 1:
        return round(value.item(), 6)
    return value.flatten().tolist() if value.numel() <= _FEW else list(value.shape)


def _license(distribution: str) -> str:
    try:
        found = importlib.metadata.metadata(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
    names = ("License-Expression", "License")
    return next((found[name] for name in names if name in found), "unknown")
