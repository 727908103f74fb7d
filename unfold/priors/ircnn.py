"""IRCNN: a plain dilated denoiser."""

from __future__ import annotations

from torch import Tensor, nn

from unfold.core.prior import Prior

from .blocks import Width, conv3
from .lipschitz import lipschitz_bound


class DilatedNet(nn.Sequential):
    """Seven 3×3 convolutions with dilations 1, 2, 3, 4, 3, 2, 1 and ReLU between them: the
    receptive field is 33×33 pixels. Input and output are ``(B, channels, H, W)``. IRCNN's batch
    normalization is omitted (its released weights are merged with it)."""

    def __init__(self, channels: int, width: int) -> None:
        dilations = (1, 2, 3, 4, 3, 2, 1)
        widths = (channels, *[width] * 6, channels)
        layers: list[nn.Module] = []
        for i, dilation in enumerate(dilations):
            layers += [conv3(widths[i], widths[i + 1], dilation=dilation), nn.ReLU()]
        super().__init__(*layers[:-1])


class IRCNN(Prior):
    """A learned proximal operator for one noise level: ``prox(v) = v − net(v)``.

    Args:
        channels: number of channels of the block.
        width: number of channels of the hidden layers.

    Source: Zhang et al., "Learning deep CNN denoiser prior for image restoration", CVPR 2017;
    the ablation in JUDE's table of priors.

    Example:
        >>> import torch
        >>> from unfold.priors import IRCNN
        >>> prior = IRCNN(channels=3, width=8)
        >>> prior(torch.rand(1, 3, 16, 16), step=torch.full((1, 1, 1, 1), 0.01)).shape
        torch.Size([1, 3, 16, 16])
        >>> prior.requires_training
        True
    """

    requires_training = True

    def __init__(self, channels: int = 3, *, width: Width = 64) -> None:
        super().__init__()
        self.channels = channels
        self.net = DilatedNet(channels, width)

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return v - self.net(v).to(v.dtype)

    def lipschitz(self) -> float:
        return 1 + lipschitz_bound(self.net)
