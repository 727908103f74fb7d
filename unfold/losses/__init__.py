"""Losses for training."""

from .absolute_error import FFT, L1, PlantedError
from .base import OTHER, TRUE_KERNEL, Loss, LossError, Outcome
from .consistency import Reblur, ReflectanceConsistency
from .kernel import KernelCorrelation
from .lsgan import lsgan
from .perceptual import Perceptual
from .stage_wise import StageWise
from .zero_dce import (
    ColorConstancy,
    CurveSmoothness,
    Exposure,
    SpatialConsistency,
    exposure_control,
    smoothness,
    spatial_consistency,
)

__all__ = [
    "FFT",
    "L1",
    "OTHER",
    "TRUE_KERNEL",
    "ColorConstancy",
    "CurveSmoothness",
    "Exposure",
    "KernelCorrelation",
    "Loss",
    "LossError",
    "Outcome",
    "Perceptual",
    "PlantedError",
    "Reblur",
    "ReflectanceConsistency",
    "SpatialConsistency",
    "StageWise",
    "exposure_control",
    "lsgan",
    "smoothness",
    "spatial_consistency",
]
