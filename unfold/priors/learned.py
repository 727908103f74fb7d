"""Learned priors without shipped weights: those of JUDE and ErA, and IRCNN."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from unfold.core.prior import Prior

from .blocks import DilatedNet, UNet, Width, Widths, with_noise_map
from .lipschitz import lipschitz_bound


class ResUNet(Prior):
    """A learned proximal operator: a bias-free U-Net of residual blocks.

    ``prox(v, step) = net(v, sqrt(step))``, or ``v + net(v, sqrt(step))`` in residual form. Without
    biases it is homogeneous: ``prox(a v, a² step) = a prox(v, step)``.

    Args:
        channels: number of channels of the block.
        widths: number of channels at each level, finest first.
        blocks: number of residual blocks at each level, in the encoder and in the decoder.
        conditioned: whether the square root of ``step`` is an input of the network, as a map.
        residual: whether the residual form is used (ErA's). Its last layer is initialized to zero,
            so that the untrained prior is the identity.
        unshuffle: factor of ``pixel_unshuffle`` before the first level (see `UNet`).

    Sources: JUDE's "ResUNet" and ErA's; the layout is DRUNet's (Zhang et al., TPAMI 2021).

    Example:
        >>> import torch
        >>> from unfold.priors import ResUNet
        >>> prior, step = ResUNet(channels=1, widths=(4, 8)), torch.full((1, 1, 1, 1), 0.01)
        >>> v = torch.rand(1, 1, 16, 16)
        >>> torch.allclose(prior(2 * v, 4 * step), 2 * prior(v, step), rtol=1e-3, atol=1e-6)
        True
    """

    requires_training = True

    def __init__(
        self,
        channels: int = 3,
        *,
        widths: Widths = (32, 64, 128, 256),
        blocks: Annotated[int, Field(ge=1, le=64)] = 1,
        conditioned: bool = True,
        residual: bool = False,
        unshuffle: Annotated[int, Field(ge=1, le=16)] = 1,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.conditioned, self.residual = conditioned, residual
        self.net = UNet(channels + conditioned, channels, widths, blocks, unshuffle=unshuffle)
        if residual:
            nn.init.zeros_(self.net.tail.weight)

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        out = self.net(with_noise_map(v, step) if self.conditioned else v).to(v.dtype)
        return v + out if self.residual else out

    def lipschitz(self) -> float:
        return self.residual + lipschitz_bound(self.net)


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
