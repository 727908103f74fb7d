"""DeepInverse's denoisers and physics in unfold, and unfold's priors and models in DeepInverse.

DeepInverse is imported when one of its denoisers is built, or one of its subclasses is accessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .dncnn import DeepInvDnCNN
from .drunet import DeepInvDRUNet
from .total_variation import DeepInvTV
from .wavelet import DeepInvWavelet

if TYPE_CHECKING:
    from .as_denoiser import UnfoldDenoiser
    from .as_reconstructor import UnfoldReconstructor
    from .physics import linear_physics

__all__ = [
    "DeepInvDRUNet", "DeepInvDnCNN", "DeepInvTV", "DeepInvWavelet", "UnfoldDenoiser",
    "UnfoldReconstructor", "linear_physics",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "UnfoldDenoiser":
        from .as_denoiser import UnfoldDenoiser

        return UnfoldDenoiser
    if name == "UnfoldReconstructor":
        from .as_reconstructor import UnfoldReconstructor

        return UnfoldReconstructor
    if name == "linear_physics":
        from .physics import linear_physics

        return linear_physics
    raise AttributeError(f"module 'unfold_deepinv' has no attribute {name!r}")
