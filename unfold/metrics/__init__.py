"""Metrics: how good a photo is, alone or against a reference."""

from .base import Metric, MetricError
from .lpips import LPIPS
from .niqe import NIQE
from .pixels import MAE, PSNR
from .ssim import SSIM

__all__ = ["LPIPS", "MAE", "NIQE", "PSNR", "SSIM", "Metric", "MetricError"]
