"""Losses: what a network is trained to make small."""

from .base import Loss, LossError, Outcome
from .colour_constancy import ColourConstancy
from .curve_smoothness import CurveSmoothness, smoothness
from .exposure import Exposure, exposure_control
from .fft import FFT
from .l1 import L1
from .lsgan import lsgan
from .perceptual import Perceptual
from .reblur import Reblur
from .spatial_consistency import SpatialConsistency, spatial_consistency
from .stage_wise import StageWise

__all__ = [
    "FFT",
    "L1",
    "ColourConstancy",
    "CurveSmoothness",
    "Exposure",
    "Loss",
    "LossError",
    "Outcome",
    "Perceptual",
    "Reblur",
    "SpatialConsistency",
    "StageWise",
    "exposure_control",
    "lsgan",
    "smoothness",
    "spatial_consistency",
]
