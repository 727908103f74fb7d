"""Degradations: models of the defects of photos, with random parameters."""

from .base import Degradation
from .blur import blur
from .camera_shake import CameraShake
from .clip import Clip, ClippingReverse
from .defocus import Defocus
from .depth_defocus import DepthDefocus
from .frame_average import FrameAverage
from .jpeg import JPEG
from .kernels import motion_kernel
from .low_light import LowLight
from .noise import GaussianNoise, RawNoise
from .outliers import Outliers

__all__ = [
    "JPEG",
    "CameraShake",
    "Clip",
    "ClippingReverse",
    "Defocus",
    "Degradation",
    "DepthDefocus",
    "FrameAverage",
    "GaussianNoise",
    "LowLight",
    "Outliers",
    "RawNoise",
    "blur",
    "motion_kernel",
]
