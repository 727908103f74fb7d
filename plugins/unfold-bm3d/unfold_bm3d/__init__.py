"""BM3D as a prior of unfold. The `bm3d` package is imported when the prior is built."""

from .bm3d import BM3D

__all__ = ["BM3D"]
