"""DRUNet as a prior of unfold."""

from .drunet import DRUNet

__all__ = ["DRUNet"]
