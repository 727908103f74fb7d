"""Where two recipes differ."""

from __future__ import annotations

from typing import Any


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Where two configs differ: ``phases.0.lr: 0.1 -> 0.2``."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        pairs = [(key, old.get(key), new.get(key)) for key in keys]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = list(zip(range(len(old)), old, new, strict=True))
    else:
        return [] if old == new else [f"{path}: {old} -> {new}"]
    return [line for key, a, b in pairs for line in differences(a, b, f"{path}.{key}".lstrip("."))]
