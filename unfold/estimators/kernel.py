"""Estimators of kernels and their maps: a network, and a point for sharp photos."""

from __future__ import annotations

import itertools
from typing import Annotated

import torch
from einops import rearrange
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate

from unfold.errors import InputError
from unfold.priors.blocks import Widths, conv3

from .roles import KernelEstimator

# Rows and columns that `measure` processes at once, and those that it adds around them.
_WINDOW, _AROUND = 512, 64


class KernelNet(KernelEstimator):
    """Predicts blur kernels by global pooling, and the logits of maps by a decoder.

    Strided convolutions compute shared features. Their global average determines the kernels
    (by a softmax: positive, sum 1), and a decoder with additive skips the maps. The model defines
    the meaning of a map: a softmax over several maps for filter flow, or a sigmoid of one map for
    the trust in its kernel. At initialization a kernel is close to a point; a flat kernel is a poor
    initialization.

    Args:
        num_kernels: number of kernels, ``M``.
        num_maps: number of maps, ``N``; 0: no decoder is built.
        size: height and width of the kernels, in pixels.
        widths: number of channels at each level; the first level has the photo's size.

    Returns (from ``forward``): kernels ``(B, M, size, size)`` and logits ``(B, N, H, W)``, or None.

    Source: JUDE, kernel estimation. The released code applies a softmax to one map, which is then 1
    everywhere; here a single map is not normalized.

    Example:
        >>> import torch
        >>> from unfold.estimators import KernelNet
        >>> estimate = KernelNet(num_kernels=2, size=9, widths=(4, 8))
        >>> kernels, logits = estimate(torch.rand(1, 3, 32, 32))
        >>> kernels.shape, logits.shape
        (torch.Size([1, 2, 9, 9]), torch.Size([1, 1, 32, 32]))
        >>> [round(kernel.sum().item(), 4) for kernel in kernels[0]]
        [1.0, 1.0]
    """

    requires_training = True

    def __init__(
        self,
        num_kernels: int = 1,
        num_maps: int = 1,
        *,
        size: Annotated[int, Field(ge=3, le=255)] = 31,
        widths: Annotated[Widths, Field(min_length=2)] = (16, 32, 64, 128, 256),
    ) -> None:
        super().__init__()
        if size < 3 or num_kernels < 1 or num_maps < 0 or len(widths) < 2:
            raise InputError(
                f"KernelNet({num_kernels}, {num_maps}, size={size}, widths={widths}): needs size "
                ">= 3, at least one kernel, no negative number of maps, and at least two widths"
            )
        self.kernel_size, self.num_kernels = size, num_kernels
        pairs = list(itertools.pairwise(widths))
        self.head = nn.Sequential(conv3(3, widths[0]), nn.ReLU())
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(fine, coarse, 3, stride=2, padding=1), nn.ReLU())
            for fine, coarse in pairs
        )
        self.to_kernels = nn.Linear(widths[-1], num_kernels * size * size)
        self.up = self.to_logits = None
        if num_maps:
            self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in reversed(pairs))
            self.to_logits = conv3(widths[0], num_maps)
        self._start_near_a_point()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor | None]:
        skips = self._features(image)
        x = skips.pop()
        kernels = self._kernels(x.mean((-2, -1))).to(image.dtype)
        if self.up is None or self.to_logits is None:
            return kernels, None
        for up in self.up:
            skip = skips.pop()
            x = interpolate(up(x), size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = torch.relu(x + skip)
        return kernels, self.to_logits(x).to(image.dtype)

    def measure(self, image: Tensor, noise: Tensor, *, window: int = _WINDOW) -> dict[str, Tensor]:
        """The kernels that ``forward`` estimates, with less memory. The mean of the features is
        computed in windows of this many rows and columns (a multiple of the stride of the
        features), each extended by the receptive field."""
        height, width = image.shape[-2:]
        coarse = 2 ** len(self.down)
        total = image.new_zeros(len(image), self.to_kernels.in_features)
        rows, columns = -(-height // coarse), -(-width // coarse)
        for y in range(0, height, window):
            for x in range(0, width, window):
                top, left = max(0, y - _AROUND), max(0, x - _AROUND)
                part = image[..., top : y + window + _AROUND, left : x + window + _AROUND]
                first, start = (y - top) // coarse, (x - left) // coarse
                size = window // coarse
                features = self._features(part)[-1]
                inner = features[..., first : first + size, start : start + size]
                total += inner.sum((-2, -1)).to(total.dtype)
        return {"kernel": self._kernels(total / (rows * columns)).to(image.dtype)}

    def _features(self, image: Tensor) -> list[Tensor]:
        """The features at each level, finest first."""
        features = [self.head(image)]
        for down in self.down:
            features.append(down(features[-1]))
        return features

    def _kernels(self, pooled: Tensor) -> Tensor:
        logits = self.to_kernels(pooled.to(self.to_kernels.weight.dtype)).float()
        kernels = rearrange(logits, "b (m k) -> b m k", m=self.num_kernels).softmax(-1)
        return rearrange(kernels, "b m (h w) -> b m h w", h=self.kernel_size)

    def _start_near_a_point(self) -> None:
        nn.init.normal_(self.to_kernels.weight, std=1e-2)
        axis = torch.arange(self.kernel_size) - self.kernel_size // 2
        distance = axis[:, None].square() + axis[None].square()
        with torch.no_grad():
            self.to_kernels.bias.copy_(
                (-0.5 * distance).clamp_min(-10).flatten().repeat(self.num_kernels)
            )


class PointKernel(KernelEstimator):
    """The kernel of a photo without blur: a point, ``(1, 1, 1, 1)``.

    Example:
        >>> import torch
        >>> from unfold.estimators import PointKernel
        >>> PointKernel()(torch.rand(1, 3, 8, 8))
        (tensor([[[[1.]]]]), None)
    """

    kernel_size = 1

    def forward(self, image: Tensor) -> tuple[Tensor, None]:
        return image.new_ones(1, 1, 1, 1), None
