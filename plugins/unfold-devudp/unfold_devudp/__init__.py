"""DEvUDP: deblurring and enhancement, learned from blurry photos and sharp ones without pairs."""

from .devudp import DEvUDP
from .discriminator import PatchDiscriminator
from .objective import discriminator_losses, generator_losses

__all__ = ["DEvUDP", "PatchDiscriminator", "discriminator_losses", "generator_losses"]
