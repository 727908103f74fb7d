"""Denoising of the reflectance."""

from __future__ import annotations

from torch import Tensor, nn

from unfold.priors.blocks import DilatedNet, Width

from .roles import ReflectanceDenoiser


class DilatedDenoiser(ReflectanceDenoiser):
    """``R -> R − net(R)``: a dilated network predicts the noise.

    Its input does not include the noise level. Its last layer is initialized to zero, so that the
    untrained denoiser returns its input.

    Args:
        channels: number of channels of the reflectance.
        width: number of channels of the hidden layers.

    Source: JUDE, reflectance denoising, after IRCNN (Zhang et al., CVPR 2017).

    Example:
        >>> import torch
        >>> from unfold.estimators import DilatedDenoiser
        >>> reflectance = torch.rand(1, 3, 16, 16)
        >>> torch.equal(DilatedDenoiser(width=8)(reflectance), reflectance)  # before training
        True
    """

    requires_training = True

    def __init__(self, channels: int = 3, *, width: Width = 64) -> None:
        super().__init__()
        self.net = DilatedNet(channels, width)
        last = self.net[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, reflectance: Tensor, deviation: Tensor | None = None) -> Tensor:
        return reflectance - self.net(reflectance).to(reflectance.dtype)
