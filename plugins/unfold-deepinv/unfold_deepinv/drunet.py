"""DeepInverse's DRUNet."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from unfold.core import Prior

from .weights import Weights, load_weights


class DeepInvDRUNet(Prior):
    """A denoiser conditioned on its noise level: `deepinv.models.DRUNet`.

    ``prox(v, step) = net(v, sqrt(step))``. The network has one noise map: a map of steps that
    differs between channels is averaged over them.

    Args:
        channels: number of channels of the block.
        weights: a file with its state dict; "download" for DeepInverse's; "random" to train it.
        width: number of channels of the finest of four levels, doubled at each; 64 in released
            weights.
        blocks: number of residual blocks at each level, in the encoder and in the decoder; 4 in
            released weights.

    Source: Zhang et al., "Plug-and-play image restoration with deep denoiser prior", TPAMI 2021.
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        weights: Weights = None,
        width: Annotated[int, Field(ge=1, le=256)] = 64,
        blocks: Annotated[int, Field(ge=1, le=64)] = 4,
    ) -> None:
        from deepinv.models import DRUNet

        super().__init__()
        self.channels = channels
        widths = (width, 2 * width, 4 * width, 8 * width)
        self.net = DRUNet(channels, channels, nc=widths, nb=blocks, pretrained=None)
        names = {1: "drunet_deepinv_gray_finetune_26k", 3: "drunet_deepinv_color_finetune_22k"}
        name = names.get(channels) if (width, blocks) == (64, 4) else None
        self.requires_training = weights == "random"
        load_weights(self.net, weights, model="drunet", released=f"{name}.pth" if name else None)

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        sigma = step.sqrt().mean(1, keepdim=True).to(v.dtype)
        return self.net(v, sigma.expand(v.shape[0], 1, *v.shape[-2:])).to(v.dtype)
