"""Estimators of kernels, noise, exposure, illumination, reflectance, and the hyper-parameters of
stages."""

from .blind import BlindKernel
from .exposure import BrightestExposure, HistogramExposure
from .hyper_parameters import LearnedConstants, NoisePowers, PredictedFromKernel
from .illumination import IlluminationNet, PowerCurve
from .kernel import KernelNet, PointKernel
from .noise import PhotoNoise, estimate_noise
from .reflectance import DilatedDenoiser
from .roles import (
    Estimator,
    ExposureEstimator,
    HyperParameters,
    IlluminationEnhancer,
    KernelEstimator,
    NoiseEstimator,
    ReflectanceDenoiser,
)

__all__ = [
    "BlindKernel", "BrightestExposure", "DilatedDenoiser", "Estimator", "ExposureEstimator",
    "HistogramExposure", "HyperParameters", "IlluminationEnhancer", "IlluminationNet",
    "KernelEstimator", "KernelNet", "LearnedConstants", "NoiseEstimator", "NoisePowers",
    "PhotoNoise", "PointKernel", "PowerCurve", "PredictedFromKernel", "ReflectanceDenoiser",
    "estimate_noise",
]  # fmt: skip
