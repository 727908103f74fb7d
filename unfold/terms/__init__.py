"""Data terms: residuals that relate blocks to observations."""

from .blur import embed_kernel
from .gradient import differences
from .residuals import (
    Convolution,
    FilterFlow,
    Gradient,
    MaskedConvolution,
    Retinex,
    SparseError,
)

__all__ = [
    "Convolution", "FilterFlow", "Gradient", "MaskedConvolution", "Retinex", "SparseError",
    "differences", "embed_kernel",
]  # fmt: skip
