"""Proximal operators: in closed form, iterative, and learned."""

from .closed_form import Box, Identity, SoftThreshold
from .ircnn import IRCNN
from .resunet import ResUNet
from .total_variation import TotalVariation

__all__ = ["IRCNN", "Box", "Identity", "ResUNet", "SoftThreshold", "TotalVariation"]
