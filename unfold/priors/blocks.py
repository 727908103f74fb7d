"""Network blocks, and the small networks that several components use."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Annotated

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from unfold.core.size import check_size
from unfold.errors import InputError

from .lipschitz import lipschitz_bound

__all__ = ["ResidualBlock", "Width", "Widths", "conv3"]

# Options of networks: the number of channels of a hidden layer; the numbers at each level, finest
# first. (Each level halves the size.)
Width = Annotated[int, Field(ge=1, le=1024)]
Widths = Annotated[tuple[Width, ...], Field(min_length=1, max_length=8)]


def conv3(inputs: int, outputs: int, *, bias: bool = True, dilation: int = 1) -> nn.Conv2d:
    """A 3×3 convolution that keeps the size (zero padding).

    Example:
        >>> import torch
        >>> from unfold.priors.blocks import conv3
        >>> conv3(3, 8, dilation=2)(torch.rand(1, 3, 16, 16)).shape
        torch.Size([1, 8, 16, 16])
    """
    return nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=bias)


def relu() -> nn.Module:
    """ReLU in place, for the output of a convolution, which autograd does not need."""
    return nn.ReLU(inplace=True)


class ResidualBlock(nn.Module):
    """``x + C3(activation(C3 x))``, ``(B, width, H, W)`` to the same.

    Args:
        width: number of channels.
        bias: whether the convolutions have a bias.
        activation: function that builds the nonlinearity; ReLU by default.
        norm: function that builds the normalization of ``width`` channels after each convolution;
            None: no normalization.

    Example:
        >>> import torch
        >>> from unfold.priors.blocks import ResidualBlock
        >>> ResidualBlock(8)(torch.rand(1, 8, 16, 16)).shape
        torch.Size([1, 8, 16, 16])
    """

    def __init__(
        self,
        width: int,
        *,
        bias: bool = True,
        activation: Callable[[], nn.Module] = relu,
        norm: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()

        def convolved() -> list[nn.Module]:
            return [conv3(width, width, bias=bias), *([norm(width)] if norm else [])]

        self.body = nn.Sequential(*convolved(), activation(), *convolved())

    def lipschitz(self) -> float:
        """A bound of its Lipschitz constant."""
        return 1 + lipschitz_bound(self.body)

    def forward(self, x: Tensor) -> Tensor:
        return added(self.body(x), x)


class ConvOfSquares(nn.Conv2d):
    """A 3×3 convolution, without bias, after ``pixel_unshuffle``. It is computed as one strided
    convolution of the pixels, which takes two thirds of the time on a CPU.

    Args:
        inputs: number of channels before ``pixel_unshuffle``.
        outputs: number of channels of the result, ``(B, outputs, H / side, W / side)``.
        side: factor of ``pixel_unshuffle``; it divides height and width.
    """

    def __init__(self, inputs: int, outputs: int, side: int) -> None:
        super().__init__(inputs * side**2, outputs, 3, padding=1, bias=False)
        self.side = side

    def forward(self, input: Tensor) -> Tensor:
        squares = "outputs (inputs y x) i j -> outputs inputs (i y) (j x)"
        weight = rearrange(self.weight, squares, y=self.side, x=self.side)
        # Channels last: on a CPU, convolutions take two thirds of the time.
        weight = weight.contiguous(memory_format=torch.channels_last)
        return conv2d(input, weight, stride=self.side, padding=self.side)


class UNet(nn.Module):
    """Encoder and decoder of residual blocks with additive skips: DRUNet's layout, without biases.

    2×2 convolutions with stride 2 reduce the size, transposed ones restore it. Images of any size
    are extended at the right and bottom, by replication, to a multiple of ``2 ** (levels − 1)``,
    and the result is cropped.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
        widths: number of channels at each level, finest first.
        blocks: number of residual blocks at each level, in the encoder and in the decoder.
        unshuffle: factor of ``pixel_unshuffle`` before the first level, inverted after the last.
            The network then processes fewer rows and columns, with less memory traffic for the
            same arithmetic. 1: no unshuffling.

    Sources: Zhang et al., "Plug-and-play image restoration with deep denoiser prior", TPAMI 2021;
    the unshuffled input is that of their FFDNet, TIP 2018.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: tuple[int, ...],
        blocks: int,
        *,
        unshuffle: int = 1,
    ) -> None:
        super().__init__()
        if not widths or min(widths) < 1 or blocks < 1 or unshuffle < 1:
            raise InputError(
                f"UNet(widths={widths}, blocks={blocks}, unshuffle={unshuffle}): needs at least "
                "one width, all positive, at least one block, and unshuffle >= 1"
            )

        sides = [2] * (len(widths) - 1) + [1]
        squares = sum(side * width**2 for side, width in zip(sides, widths, strict=True))
        check_size(18 * blocks * squares, "the U-Net")

        def level(width: int) -> list[nn.Module]:
            return [ResidualBlock(width, bias=False) for _ in range(blocks)]

        pairs = list(itertools.pairwise(widths))
        self.unshuffle = unshuffle
        self.factor = unshuffle * 2 ** len(pairs)
        self.head = ConvOfSquares(inputs, widths[0], unshuffle)
        self.down = nn.ModuleList(
            nn.Sequential(*level(fine), nn.Conv2d(fine, coarse, 2, stride=2, bias=False))
            for fine, coarse in pairs
        )
        self.body = nn.Sequential(*level(widths[-1]))
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(coarse, fine, 2, stride=2, bias=False), *level(fine))
            for fine, coarse in reversed(pairs)
        )
        self.tail = conv3(widths[0], outputs * unshuffle**2, bias=False)

    def lipschitz(self) -> float:
        """A bound of its Lipschitz constant; the skips are added up."""
        skips = [lipschitz_bound(self.head)]
        for down in self.down:
            skips.append(skips[-1] * lipschitz_bound(down))
        gain = skips[-1] * lipschitz_bound(self.body)
        for up in self.up:
            gain = (gain + skips.pop()) * lipschitz_bound(up)
        # (If the size is not a multiple, the last row and column are repeated up to factor times.)
        return self.factor * (gain + skips.pop()) * lipschitz_bound(self.tail)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        missing = (0, -width % self.factor, 0, -height % self.factor)
        if any(missing):
            x = pad(x, missing, mode="replicate")
        skips = [self.head(x)]
        for down in self.down:
            skips.append(down(skips[-1]))
        x = self.body(skips[-1])
        for up in self.up:
            x = up(added(x, skips.pop()))
        squares, side = self.tail(added(x, skips.pop())), self.unshuffle
        # (Faster than pixel_shuffle, whose result would have its channels last.)
        x = rearrange(squares, "b (c y x) h w -> b c (h y) (w x)", y=side, x=side)
        return x[..., :height, :width]


def added(made: Tensor, x: Tensor) -> Tensor:
    """``made + x``, written to the memory of ``made``, which autograd must not need."""
    return made.add_(x) if made.dtype == x.dtype else made + x


def with_noise_map(v: Tensor, step: Tensor) -> Tensor:
    """``v`` with ``sqrt(step)`` as an additional channel, ``(B, C + 1, H, W)``: the standard
    deviation of the Gaussian noise that the proximal step assumes, averaged over channels."""
    sigma = step.sqrt().mean(1, keepdim=True).to(v.dtype)
    return torch.cat((v, sigma.expand(v.shape[0], 1, *v.shape[-2:])), 1)


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
