"""What tells one file of weights from another: the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

Layout = frozenset[tuple[str, tuple[int, ...]]]


def layout_of_file(file: Path) -> Layout:
    """Of a .safetensors file; its header alone is read."""
    with safe_open(file, framework="pt") as opened:
        names = opened.keys()
        return frozenset((name, tuple(opened.get_slice(name).get_shape())) for name in names)


def layout_of(state: Mapping[str, Any]) -> Layout:
    """Of a state dict; entries that are no tensors have the shape ()."""
    return frozenset((name, tuple(getattr(value, "shape", ()))) for name, value in state.items())
