"""The learned prior that comes with weights: a denoiser that is given the noise."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from unfold.core.prior import Prior

from .blocks import UNet, with_noise_map
from .lipschitz import lipschitz_bound

LARGEST = 50 / 255  # the strongest noise of its training
_WEIGHTS = Path(__file__).with_suffix(".safetensors")
_CHANNELS, _WIDTHS, _BLOCKS, _UNSHUFFLE = 3, (48, 96), 2, 2


class Denoiser(Prior):
    """A denoiser for white Gaussian noise of a known standard deviation.

    ``prox(v, step) = v + net(v, sqrt(step))`` with a bias-free U-Net that works on squares of 2×2
    pixels. It was trained for standard deviations up to 50/255 on photos in [0, 1]. Being free of
    biases it scales with its input, ``prox(a v, a² step) = a prox(v, step)``, so that other ranges
    of values serve as well. On kodak24 with noise of 15, 25 and 50/255 it reaches 34.54, 32.07 and
    28.91 dB (FFDNet for color, as published: 34.63, 32.13, 28.98).

    Images of other numbers of channels are denoised channel by channel, each as a gray photo, by a
    second net of the same layout: 32.57, 30.21 and 27.31 dB on the mean of kodak24's channels.

    Args:
        pretrained: whether the weights that come with the library are loaded.

    Source: the layout is DRUNet's (Zhang et al., "Plug-and-play image restoration with deep
    denoiser prior", TPAMI 2021), made smaller; the weights are ours
    (``benchmarks/weights/denoiser.py``).

    Example::

        >>> import torch
        >>> from unfold.priors.denoiser import Denoiser
        >>> v = torch.rand(1, 3, 32, 32)
        >>> Denoiser().prox(v, torch.full((1, 1, 1, 1), 0.05**2)).shape
        torch.Size([1, 3, 32, 32])
    """

    def __init__(self, *, pretrained: bool = True) -> None:
        super().__init__()
        self.net, self.grey = (
            UNet(channels + 1, channels, _WIDTHS, _BLOCKS, unshuffle=_UNSHUFFLE)
            for channels in (_CHANNELS, 1)
        )
        for net in (self.net, self.grey):
            torch.nn.init.zeros_(net.tail.weight)
        self.requires_training = not pretrained
        if pretrained:
            self.load_state_dict(load_file(_WEIGHTS))

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        if v.shape[1] == _CHANNELS:
            return v + self.net(with_noise_map(v, step)).to(v.dtype)
        step = step.expand(*v.shape[:2], *step.shape[-2:]).reshape(-1, 1, *step.shape[-2:])
        each = v.reshape(-1, 1, *v.shape[-2:])
        return (each + self.grey(with_noise_map(each, step)).to(v.dtype)).view(v.shape)

    def lipschitz(self) -> float:
        return 1 + max(lipschitz_bound(net) for net in (self.net, self.grey))
