"""DEvUDP: deblurring and enhancement, learned from unpaired blurred and sharp photos."""

from .devudp import DEvUDP
from .discriminator import PatchDiscriminator

__all__ = ["DEvUDP", "PatchDiscriminator"]
