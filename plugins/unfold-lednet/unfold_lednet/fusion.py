"""Fusion of the features of the encoder and the decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from unfold.priors.blocks import conv3

from .adaptive import SIZE, filter_adaptive, filter_norms


class FilterFusion(nn.Module):
    """Filters the decoder's features with filters predicted from the encoder's; same shape.

    Returns (from ``forward``): the filtered features, and for inspection ``filters``,
    ``(B, 1, H, W)``: see `filter_norms`.

    Source: LEDNet's FASC (filter-adaptive skip connection), section 4.2.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.predict = nn.Sequential(
            conv3(width, width), nn.ReLU(),
            conv3(width, width), nn.ReLU(),
            conv3(width, width), nn.ReLU(),
            nn.Conv2d(width, width * SIZE**2, 1),
        )  # fmt: skip

    def forward(self, x: Tensor, guide: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        last = self.predict[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        hidden = self.predict[:-1](guide)  # the last layer is applied tap by tap
        out = leaky_relu(filter_adaptive(x, hidden, last.weight, last.bias), 0.2)
        return out, {"filters": filter_norms(hidden, last.weight, last.bias)}


class Concatenation(nn.Module):
    """Concatenates both features and applies a 3×3 convolution: the alternative in LEDNet's table
    3. The paper does not describe how they are combined; the convolution is ours."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = conv3(2 * width, width)

    def forward(self, x: Tensor, guide: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return leaky_relu(self.mix(torch.cat((x, guide), 1)), 0.2), {}
