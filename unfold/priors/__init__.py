"""Proximal operators: in closed form, iterative, and learned."""

from .closed_form import Box, Identity, SoftThreshold
from .hyper_laplacian import HyperLaplacian
from .ircnn import IRCNN
from .l0 import L0
from .resunet import ResUNet
from .ridge import Ridge
from .simplex import Simplex
from .total_variation import TotalVariation

__all__ = [
    "IRCNN", "L0", "Box", "HyperLaplacian", "Identity", "ResUNet", "Ridge", "Simplex",
    "SoftThreshold", "TotalVariation",
]  # fmt: skip
