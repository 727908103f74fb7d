"""Metrics: how good a photo is, alone or against a reference."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .base import Metric, MetricError

if TYPE_CHECKING:
    from .lpips import LPIPS
    from .mae import MAE
    from .niqe import NIQE
    from .psnr import PSNR
    from .ssim import SSIM

__all__ = ["LPIPS", "MAE", "NIQE", "PSNR", "SSIM", "Metric", "MetricError"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'unfold.metrics' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{name.lower()}", __name__), name)
