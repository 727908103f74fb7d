"""What a number depends on beside the model and the data."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from unfold.registry.catalogue import HOME
from unfold.registry.spec import Spec


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, the device and the date."""
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
    """Distribution -> version, of every component in a spec (and in specs inside it)."""
    if isinstance(value, Spec):
        inside = providers([getattr(value, name) for name in type(value).model_fields])
        return {type(value).entry.distribution: type(value).entry.version, **inside}
    if isinstance(value, Mapping):
        value = value.values()
    if isinstance(value, str) or not isinstance(value, Iterable):
        return {}
    found: dict[str, str] = {}
    for item in value:
        found |= providers(item)
    return found


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()
