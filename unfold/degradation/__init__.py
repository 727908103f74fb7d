"""What makes bad pictures."""

from .kernels import motion_kernel

__all__ = ["motion_kernel"]
