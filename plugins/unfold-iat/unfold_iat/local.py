"""The local branch of IAT: a gain and an offset for each pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from unfold.priors.blocks import conv3

_WIDTH, _BLOCKS = 16, 3


class Local(nn.Module):
    """Maps ``(B, 3, H, W)`` to a gain >= 0 and an offset in [−1, 1], both of that shape."""

    def __init__(self) -> None:
        super().__init__()
        self.head = conv3(3, _WIDTH)
        self.gain = nn.Sequential(*(Block(_WIDTH) for _ in range(_BLOCKS)))
        self.offset = nn.Sequential(*(Block(_WIDTH) for _ in range(_BLOCKS)))
        self.to_gain, self.to_offset = conv3(_WIDTH, 3), conv3(_WIDTH, 3)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = leaky_relu(self.head(image), 0.2)
        gain = self.to_gain(self.gain(x) + x).relu()
        return gain, self.to_offset(self.offset(x) + x).tanh()


class Block(nn.Module):
    """A transformer block with a depthwise 5×5 convolution in place of attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.position = conv_of_each(width, 3)
        self.norm1, self.norm2 = Mixed(width), Mixed(width)
        self.mix = nn.Sequential(
            nn.Conv2d(width, width, 1), conv_of_each(width, 5), nn.Conv2d(width, width, 1)
        )
        self.expand = nn.Sequential(
            nn.Conv2d(width, 4 * width, 1), nn.GELU(), nn.Conv2d(4 * width, width, 1)
        )
        self.gamma_1 = nn.Parameter(torch.full((1, width, 1, 1), 1e-4))
        self.gamma_2 = nn.Parameter(torch.full((1, width, 1, 1), 1e-4))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.position(x)
        x = x + self.gamma_1 * self.mix(self.norm1(x))
        return x + self.gamma_2 * self.expand(self.norm2(x))


class Mixed(nn.Module):
    """``α ⊙ (M x) + β``, M a matrix of the channels, in place of a normalization."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.color = nn.Parameter(torch.eye(width))
        self.alpha = nn.Parameter(torch.ones(1, 1, width))
        self.beta = nn.Parameter(torch.zeros(1, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        mixed = torch.einsum("bkhw,ck->bchw", x, self.color)
        return mixed * self.alpha.view(1, -1, 1, 1) + self.beta.view(1, -1, 1, 1)


def conv_of_each(width: int, side: int) -> nn.Conv2d:
    """A depthwise convolution that keeps the size (zero padding)."""
    return nn.Conv2d(width, width, side, padding=side // 2, groups=width)
