"""Proximal operators: in closed form, iterative, and learned."""

from .closed_form import L0, Box, Identity, Ridge, Simplex, SoftThreshold
from .hyper_laplacian import HyperLaplacian
from .learned import IRCNN, ResUNet
from .total_variation import TotalVariation

__all__ = [
    "IRCNN", "L0", "Box", "HyperLaplacian", "Identity", "ResUNet", "Ridge", "Simplex",
    "SoftThreshold", "TotalVariation",
]  # fmt: skip
