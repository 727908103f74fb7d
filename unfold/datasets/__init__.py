"""Data sets on disk: their photos, and tensors of these for training.

The readers are found by name, in the group ``unfold.datasets``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import DataError, Dataset, Pair
from .windows import windows

if TYPE_CHECKING:
    from .photos import Photos

__all__ = ["DataError", "Dataset", "Pair", "Photos", "windows"]


def __getattr__(name: str) -> Any:
    if name == "Photos":  # the only part that needs torch
        from .photos import Photos

        return Photos
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
