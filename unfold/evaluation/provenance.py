"""The provenance of a number, besides the model's code and the data."""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from unfold.models.weights import TENSORS, is_model_folder, learned_spec
from unfold.registry.catalog import HOME, scan
from unfold.registry.spec import Spec


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device and date."""
    return {
        "unfold": importlib.metadata.version(HOME),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": str(device),
        "device_name": _name(device),
        "threads": torch.get_num_threads(),
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def providers(value: Any) -> dict[str, str]:
    """Distribution -> version, for every component in a spec, in nested specs, and in the folders
    of trained weights that they name."""
    found: dict[str, str] = {}
    for part in _parts(value):
        if isinstance(part, Spec):
            found[type(part).entry.distribution] = type(part).entry.version
            found |= providers(learned_spec(part))
    return found


def files(value: Any) -> dict[str, str]:
    """File -> SHA-256, for every file that a spec or a nested spec names. For a folder of trained
    weights, it is the file of the tensors."""
    paths = [part for part in _parts(value) if isinstance(part, Path)]
    named = [path / TENSORS if is_model_folder(path) else path for path in paths]
    return {str(path): _digest(path) for path in named if path.is_file()}


def inner_config(spec: Spec) -> dict[str, Any]:
    """A model's config with all defaults, in which each folder of trained weights is replaced by
    the config of the trained model.

    Raises:
        ComponentError: if a folder does not describe a model.
    """
    return _without_folders(spec, spec.model_dump(mode="json"))


def registered_name(group: str, component: type) -> str:
    """The registered name of a class, from any distribution; otherwise its own name."""
    target = f"{component.__module__}:{component.__qualname__}"
    names = (c.name for c in scan().components if (c.group, c.target) == (group, target))
    return next(names, component.__name__)


def _parts(value: Any) -> Iterator[Any]:
    """A value and all nested values: options of specs, items of collections."""
    yield value
    if isinstance(value, Spec):
        value = [getattr(value, name) for name in type(value).model_fields]
    elif isinstance(value, Mapping):
        value = value.values()
    if isinstance(value, str) or not isinstance(value, Iterable):
        return
    for item in value:
        yield from _parts(item)


def _without_folders(value: Any, dumped: Any) -> Any:
    """``dumped`` is the JSON form of ``value``."""
    if isinstance(value, Spec):
        learned = learned_spec(value)
        if learned is not None:
            return inner_config(learned)
        return {key: _without_folders(getattr(value, key), item) for key, item in dumped.items()}
    if isinstance(value, (list, tuple)):
        return [_without_folders(*pair) for pair in zip(value, dumped, strict=True)]
    return dumped


def _digest(path: str | os.PathLike[str]) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()
