"""Configs: a component by name and its options, in a JSON or TOML file."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from .catalog import ComponentError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]

SUFFIXES = (".json", ".toml")
# Options that older versions wrote: (group, component) -> old name -> new name.
_RENAMED = {
    ("datasets", "paired"): {"kernel": "kernel_dir"},
    ("degradations", "low-light"): {"lights": "preserve_highlights"},
    ("models", "declared"): {"weights": "penalties"},
    ("terms", "filter-flow"): {"weights": "maps"},
}


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The mapping in a ``.json`` or ``.toml`` file: ``kind`` and options.

    Raises:
        ComponentError: if the file cannot be read or does not contain a mapping with a ``kind``.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ComponentError(f"{path}: the name of a config must end in .json or .toml")
    try:
        text = path.read_text(encoding="utf-8")
        toml = path.suffix == ".toml"
        config: Any = tomllib.loads(text) if toml else json.loads(text)  # pyright: ignore
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise ComponentError(f"{path}: cannot be read as a config ({reason})") from error
    found = cast(dict[str, Any], config) if isinstance(config, dict) else {}
    if not isinstance(found.get("kind"), str):
        raise ComponentError(f'{path}: a config must name its component, as in kind = "jude"')
    return found


def with_new_names(group: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A component's config with the present names of its options.

    Example:
        >>> from unfold.registry.config import with_new_names
        >>> with_new_names("terms", {"kind": "filter-flow", "weights": "W"})
        {'kind': 'filter-flow', 'maps': 'W'}
    """
    names = _RENAMED.get((group, str(config["kind"])), {})
    return {names.get(name, name): value for name, value in config.items()}
