"""Blocks of LEDNet's encoder and decoder.

Submodules are numbered as in the public release if possible: see ``public.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, pad

from unfold.priors.blocks import ResidualBlock, conv3


def conv1(inputs: int, outputs: int) -> nn.Conv2d:
    """A pointwise convolution without bias."""
    return nn.Conv2d(inputs, outputs, 1, bias=False)


def encoder_block(width: int) -> nn.Sequential:
    """``PReLU(C3(x + C3(PReLU(C3 x))))``."""
    return nn.Sequential(
        ResidualBlock(width, activation=nn.PReLU), nn.Sequential(conv3(width, width), nn.PReLU())
    )


def decoder_block(width: int) -> nn.Sequential:
    """Twice ``x + C3(PReLU(C3 x))``."""
    return nn.Sequential(*(ResidualBlock(width, activation=nn.PReLU) for _ in range(2)))


class BlurPool(nn.Module):
    """Downsampling by 2 without aliasing: every second pixel of x ⊗ [1 2 1]ᵀ[1 2 1]/16, reflected
    by one pixel at the border; x is at least 2×2. Source: Zhang, "Making convolutional networks
    shift-invariant again", ICML 2019."""

    def forward(self, x: Tensor) -> Tensor:
        # Not kornia's blur_pool2d: it pads with zeros.
        channels = x.shape[1]
        kernel = blur_kernel().to(x).expand(channels, 1, 3, 3)
        return conv2d(pad(x, (1,) * 4, mode="reflect"), kernel, stride=2, groups=channels)


def blur_kernel() -> Tensor:
    """BlurPool's 3×3 kernel; sum 1."""
    line = torch.tensor([1.0, 2.0, 1.0]) / 4
    return torch.outer(line, line)


class Down(nn.Module):
    """``(B, inputs, H, W)`` to ``(B, outputs, H/2, W/2)``: a convolution path plus a plain one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            conv1(inputs, inputs), nn.PReLU(),
            conv3(inputs, inputs, bias=False), nn.PReLU(),
            BlurPool(), conv1(inputs, outputs),
        )  # fmt: skip
        self.skip = nn.Sequential(BlurPool(), conv1(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x) + self.skip(x)


class Up(nn.Module):
    """``(B, inputs, H, W)`` to ``(B, outputs, 2H, 2W)``: a convolution path plus a bilinear one.

    In the paper, upsampling precedes the pointwise convolution of the plain path. The two commute,
    and this order needs a quarter of the operations.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        twice = nn.ConvTranspose2d(inputs, inputs, 3, 2, padding=1, output_padding=1, bias=False)
        self.main = nn.Sequential(
            conv1(inputs, inputs), nn.PReLU(), twice, nn.PReLU(), conv1(inputs, outputs)
        )
        self.skip = conv1(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        plain = interpolate(self.skip(x), scale_factor=2, mode="bilinear", align_corners=False)
        return self.main(x) + plain


class PyramidPooling(nn.Module):
    """Concatenates each pixel with means of the photo over 1, 2, 3 and 6 bins a side; same shape.

    Args:
        width: number of channels, a multiple of 4.

    Source: LEDNet's PPM, after Zhao et al., "Pyramid scene parsing network", CVPR 2017.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bins), conv1(width, width // 4), nn.PReLU())
            for bins in (1, 2, 3, 6)
        )
        self.fuse = nn.Sequential(conv3(2 * width, width, bias=False), nn.PReLU())

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[-2:]
        seen = [
            interpolate(branch(x), size=size, mode="bilinear", align_corners=True)
            for branch in self.branches
        ]
        return self.fuse(torch.cat((x, *seen), 1))


class Curve(nn.Module):
    """Brightens features in [0, 1]: three times ``x += A ⊙ x(1 − x)``, each A a map in (0, 1).

    Returns (from ``forward``): the features, clipped to [0, 1] and brightened,
    ``(B, width, H, W)``, and the three maps, ``(B, 3, H, W)``, predicted from the input features.

    Source: LEDNet's CurveNLU, section 4.1.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.predict = nn.Sequential(
            nn.Conv2d(width, width, 5, padding=2), nn.ReLU(),
            conv3(width, width), nn.ReLU(),
            nn.Conv2d(width, 3, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        curves = self.predict(x).sigmoid()
        x = x.clamp(0, 1)
        for curve in curves.split(1, dim=1):
            x = x + curve * x * (1 - x)
        return x, curves
