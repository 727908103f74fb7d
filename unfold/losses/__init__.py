"""Losses: what a network is trained to make small."""

from .base import Loss, LossError, Outcome
from .fft import FFT
from .l1 import L1
from .lsgan import lsgan
from .perceptual import Perceptual
from .reblur import Reblur
from .stage_wise import StageWise

__all__ = [
    "FFT",
    "L1",
    "Loss",
    "LossError",
    "Outcome",
    "Perceptual",
    "Reblur",
    "StageWise",
    "lsgan",
]
