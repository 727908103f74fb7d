"""The metadata of an exported file."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping, Sequence

from torch import Tensor

from unfold.models.weights import tensors_digest
from unfold.registry.catalog import HOME, Component
from unfold.restoration.receptive_field import ReceptiveField
from unfold.restorer import Restorer

from . import darktable
from .tile import takes_map

_RGB = "float32 [1, 3, {0}, {0}], RGB, sRGB-encoded, in [0, 1]"
VISIBLE = 1 / 510
"""Half a step of 8 bits: larger differences at seams may be visible."""

_FEW = 4  # largest number of values that are written out


def facts(
    name: str,
    component: Component | None,
    model: Restorer,
    measured: Mapping[str, Tensor],
    inputs: Sequence[str],
    *,
    size: int,
    field: ReceptiveField | None,
) -> dict[str, str]:
    """The metadata of an exported model: name -> text.

    Args:
        name: name of the model, as given by the user.
        component: its component, if the model is an installed one.
        model: the model.
        measured: measurements of the photo.
        inputs: names of the measurements that are inputs of the graph.
        size: size of the tile.
        field: receptive field, whose radius is the overlap of tiles; None: a photo must not be cut
            into tiles.
    """
    distribution = component.distribution if component else HOME
    about = component.summary if component else type(model).__name__
    version = importlib.metadata.version(distribution)
    constants = {n: _written(value) for n, value in measured.items() if n not in inputs}
    written = {
        "name": name,
        "description": about,
        "version": version,
        "license": _license(distribution),
        "license_note": "of the code; for the weights see the model's card",
        "input": _RGB.format(size),
        "output": _RGB.format(size),
        "scale": "1",
        "tile_size": str(size),
        "tiling": "false" if field is None else "true",
        **_seams(field),
        "weights_sha256": tensors_digest(model) or "none",
        "measured": json.dumps(constants),
        "inputs": json.dumps(["input", *inputs]),
    }
    if not inputs or takes_map(model, inputs):
        radius = None if field is None or field.error > VISIBLE else field.radius
        about_tiles = darktable.config(name, about, version, 1 + len(inputs), size, radius)
        if about_tiles is not None:
            written["darktable"] = json.dumps(about_tiles)
    return written


def _seams(field: ReceptiveField | None) -> dict[str, str]:
    if field is None:
        return {}
    return {"overlap": str(field.radius), "overlap_error": f"{field.error:.1e}"}


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
