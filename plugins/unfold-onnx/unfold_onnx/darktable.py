"""darktable's description of a model: the ``config.json`` beside ``model.onnx``."""

from __future__ import annotations

import re
from pathlib import Path

OVERLAP = 64
"""Pixels by which darktable's tiles overlap on each side."""


def config(
    name: str, description: str, version: str, inputs: int, size: int, overlap: int | None
) -> dict[str, object] | None:
    """The content of ``config.json``, or None if darktable's tiles would have visible seams.

    Args:
        name: of the model, or the path of its config.
        description: one line.
        version: of the model.
        inputs: number of inputs, 1 or, with a map of the noise, 2.
        size: size of the tile.
        overlap: necessary overlap of tiles, in pixels on each side; None: a photo must not be cut
            into tiles.
    """
    if overlap is None or overlap > OVERLAP:
        return None
    plain = re.sub(r"[^a-z0-9]+", "-", Path(name).stem.lower()).strip("-")
    return {
        "id": f"denoise-{plain}",  # (its tasks are denoise, upscale and masks)
        "name": f"unfold {plain}",
        "description": description,
        "task": "denoise",
        "backend": "onnx",
        "version": version,
        "num_inputs": inputs,
        "attributes": {"input_sizes": [size]},
    }
