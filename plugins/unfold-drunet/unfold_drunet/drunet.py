"""DRUNet: a bias-free U-Net for a given noise level."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from unfold.priors import ResUNet
from unfold.priors.blocks import Widths

from .public import modules, read_released


class DRUNet(ResUNet):
    """A learned denoiser: ``prox(v, step) = net(v, sqrt(step))``.

    32.6 million parameters. It was trained for white Gaussian noise of standard deviations up to
    50/255 on photos in [0, 1]. Without biases it is homogeneous,
    ``prox(a v, a² step) = a prox(v, step)``. The network has one noise map: a map of steps that
    differs between channels is averaged over them.

    Args:
        channels: 3 (``drunet_color.pth``) or 1 (``drunet_gray.pth``).
        weights: a released file; None: random, for training.
        widths: number of channels at each level, finest first.
        blocks: number of residual blocks at each level, in the encoder and in the decoder.

    Raises:
        ComponentError: if weights cannot be read, or belong to another network.

    Source: Zhang et al., "Plug-and-play image restoration with deep denoiser prior", TPAMI 2021.

    Example::

        >>> import torch
        >>> from unfold_drunet import DRUNet
        >>> prior = DRUNet(widths=(8, 16), blocks=1)  # small, with random weights
        >>> prior(torch.rand(1, 3, 32, 32), torch.full((1, 1, 1, 1), 0.05**2)).shape
        torch.Size([1, 3, 32, 32])
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        weights: Path | None = None,
        widths: Widths = (64, 128, 256, 512),
        blocks: Annotated[int, Field(ge=1, le=64)] = 4,
    ) -> None:
        super().__init__(channels, widths=widths, blocks=blocks)
        if weights is not None:
            layers = modules(len(widths), blocks)
            self.load_state_dict(read_released(Path(weights), layers, self.state_dict()))
            self.requires_training = False
