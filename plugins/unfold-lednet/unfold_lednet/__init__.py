"""LEDNet as a model of unfold."""

from .lednet import LEDNet
from .presets import lednet_small

__all__ = ["LEDNet", "lednet_small"]
