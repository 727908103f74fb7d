"""Renamed options, for files that older versions of the library wrote."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# (group, component) -> old name -> new name
_RENAMED = {
    ("datasets", "paired"): {"kernel": "kernel_dir"},
    ("degradations", "low-light"): {"lights": "preserve_highlights"},
    ("models", "declared"): {"weights": "penalties"},
    ("terms", "filter-flow"): {"weights": "maps"},
}


def with_new_names(group: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A component's config with the present names of its options.

    Example:
        >>> from unfold.registry.renamed import with_new_names
        >>> with_new_names("terms", {"kind": "filter-flow", "weights": "W"})
        {'kind': 'filter-flow', 'maps': 'W'}
    """
    names = _RENAMED.get((group, str(config["kind"])), {})
    return {names.get(name, name): value for name, value in config.items()}
