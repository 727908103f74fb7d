"""Losses, which training minimizes."""

from .base import OTHER, TRUE_KERNEL, Loss, LossError, Outcome
from .color_constancy import ColorConstancy
from .curve_smoothness import CurveSmoothness, smoothness
from .exposure import Exposure, exposure_control
from .fft import FFT
from .kernel import KernelCorrelation
from .l1 import L1
from .lsgan import lsgan
from .perceptual import Perceptual
from .reblur import Reblur
from .reflectance_consistency import ReflectanceConsistency
from .sparse_error import PlantedError
from .spatial_consistency import SpatialConsistency, spatial_consistency
from .stage_wise import StageWise

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
