"""Data terms: residuals that tie blocks to what was observed."""

from .blur import Convolution, FilterFlow, embed_kernel
from .gradient import Gradient, differences
from .masked import MaskedConvolution
from .retinex import Retinex
from .sparse_error import SparseError

__all__ = [
    "Convolution", "FilterFlow", "Gradient", "MaskedConvolution", "Retinex", "SparseError",
    "differences", "embed_kernel",
]  # fmt: skip
