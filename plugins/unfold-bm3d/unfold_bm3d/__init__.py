"""BM3D as a prior of unfold. The `bm3d` package is imported when one is built."""

from .bm3d import BM3D

__all__ = ["BM3D"]
