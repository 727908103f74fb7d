"""What makes bad pictures."""

from .blur import blur
from .kernels import motion_kernel

__all__ = ["blur", "motion_kernel"]
