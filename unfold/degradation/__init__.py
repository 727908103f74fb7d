"""What makes bad pictures."""

from .base import Degradation
from .blur import blur
from .kernels import motion_kernel

__all__ = ["Degradation", "blur", "motion_kernel"]
