"""Proximal operators: in closed form, iterative, and learned."""

from .closed_form import Box, Identity, SoftThreshold
from .total_variation import TotalVariation

__all__ = ["Box", "Identity", "SoftThreshold", "TotalVariation"]
