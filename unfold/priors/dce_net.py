"""Zero-DCE's network, which predicts a curve at each pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from .blocks import conv3


class DCENet(nn.Module):
    """Zero-DCE's network for the parameters of a curve at each pixel.

    Seven 3×3 convolutions with zero padding, with ReLU between them and tanh at the end. The fifth
    to seventh convolutions take the feature maps 3 and 4, 2 and 5, 1 and 6. With the paper's three
    channels and 24 outputs (eight curves for each color) it has 79,416 parameters.

    Args:
        inputs: number of input channels.
        outputs: number of output maps.
        width: number of channels of every hidden layer.

    Source: Guo et al., "Zero-reference deep curve estimation for low-light image enhancement",
    CVPR 2020, section 3.2.
    """

    reach = 7  # radius of the receptive field, in pixels

    def __init__(self, inputs: int = 3, outputs: int = 24, width: int = 32) -> None:
        super().__init__()

        def layer(channels: int) -> nn.Sequential:
            return nn.Sequential(conv3(channels, width), nn.ReLU())

        self.down = nn.ModuleList(layer(c) for c in (inputs, width, width, width))
        self.up = nn.ModuleList(layer(2 * width) for _ in range(2))
        self.tail = conv3(2 * width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` -> ``(B, outputs, H, W)`` in [−1, 1]."""
        skips = []
        for layer in self.down:
            x = layer(x)
            skips.append(x)
        x = skips.pop()
        for layer in self.up:
            x = layer(torch.cat((skips.pop(), x), 1))
        return self.tail(torch.cat((skips.pop(), x), 1)).tanh()

    def without_frame(self, x: Tensor) -> Tensor:
        """`forward`, for a photo whose border is replicated by the radius of the receptive field.

        The zero padding of the convolutions looks like a dark surrounding, and would cause a frame
        around the photo.
        """
        reach = self.reach
        return self(pad(x, 4 * (reach,), mode="replicate"))[..., reach:-reach, reach:-reach]
