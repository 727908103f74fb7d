"""The layout that identifies a file of weights: the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

Layout = frozenset[tuple[str, tuple[int, ...]]]


def layout_of_file(file: Path) -> Layout:
    """The layout of a .safetensors file, from its header."""
    with safe_open(file, framework="pt") as opened:
        names = opened.keys()
        return frozenset((name, tuple(opened.get_slice(name).get_shape())) for name in names)


def layout_of(state: Mapping[str, Any]) -> Layout:
    """The layout of a state dict; entries that are not tensors have the shape ()."""
    return frozenset((name, tuple(getattr(value, "shape", ()))) for name, value in state.items())
