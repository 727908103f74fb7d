"""DeepInverse's denoisers as priors of unfold. DeepInverse is imported when one is built."""

from .dncnn import DeepInvDnCNN
from .drunet import DeepInvDRUNet
from .total_variation import DeepInvTV
from .wavelet import DeepInvWavelet

__all__ = ["DeepInvDRUNet", "DeepInvDnCNN", "DeepInvTV", "DeepInvWavelet"]
