"""The learned prior with shipped weights: a denoiser for a given noise level."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from unfold.core.prior import Prior

from .blocks import UNet, with_noise_map
from .lipschitz import lipschitz_bound

LARGEST = 50 / 255  # the largest standard deviation of its training
_WEIGHTS = Path(__file__).with_suffix(".safetensors")
_CHANNELS, _WIDTHS, _BLOCKS, _UNSHUFFLE = 3, (48, 96), 2, 2


class Denoiser(Prior):
    """A denoiser for white Gaussian noise of a known standard deviation.

    ``prox(v, step) = v + net(v, sqrt(step))`` with a bias-free U-Net after ``pixel_unshuffle`` by
    2. It was trained for standard deviations up to 50/255 on photos in [0, 1]. Without biases it
    is homogeneous, ``prox(a v, a² step) = a prox(v, step)``, so it also works for other ranges of
    values. On kodak24 with noise of 15, 25 and 50/255 it reaches 34.54, 32.07 and 28.91 dB (FFDNet
    for color, as published: 34.63, 32.13, 28.98).

    Images with another number of channels are denoised channel by channel, by a second network of
    the same layout for gray photos: 32.57, 30.21 and 27.31 dB on the mean of kodak24's channels.

    Args:
        pretrained: whether the shipped weights are loaded.

    Source: the layout is a smaller DRUNet (Zhang et al., "Plug-and-play image restoration with deep
    denoiser prior", TPAMI 2021); the weights are ours (``benchmarks/weights/denoiser.py``).

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
