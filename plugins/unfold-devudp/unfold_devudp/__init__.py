"""DEvUDP: deblurring and enhancement, learned from blurry photos and sharp ones without pairs."""

from .devudp import DEvUDP
from .discriminator import PatchDiscriminator

__all__ = ["DEvUDP", "PatchDiscriminator"]
