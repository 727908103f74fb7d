"""Networks around the optimisation: kernels, illumination, reflectance."""

from .illumination import IlluminationEnhancer
from .kernel import KernelEstimator
from .reflectance import ReflectanceDenoiser

__all__ = ["IlluminationEnhancer", "KernelEstimator", "ReflectanceDenoiser"]
