"""Illumination: an initial split from the reflectance, and its enhancement."""

from __future__ import annotations

import itertools
import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate

from unfold.priors.blocks import Widths

from .noise import thinned
from .roles import IlluminationEnhancer

DARKEST = 1e-2


def retinex_split(image: Tensor) -> tuple[Tensor, Tensor]:
    """An initial split into reflectance and illumination: ``image = R ⊙ L``.

    ``L`` is the largest channel, ``(B, 1, H, W)``, clipped to [0.01, 1], and ``R = image / L``,
    clipped to [0, 1]. Source: the initial map of LIME (Guo et al., TIP 2017).
    """
    light = image.amax(1, keepdim=True).clamp(DARKEST, 1)
    return (image / light).clamp(0, 1), light


class IlluminationNet(IlluminationEnhancer):
    """``L -> L ⊙ exp(gain)``: an encoder-decoder predicts the logarithm of a gain map.

    Pointwise convolutions mix channels, strided depthwise convolutions gather context, and skip
    connections are added. The gain lies within ``exp(±4)``, and is 1 before training.

    Args:
        channels: number of channels of the illumination, 1 or 3.
        widths: number of channels at each level, finest first.
        pooled: whether the coarsest level also receives the mean of its features over the whole
            photo. Without it, a dark object in a bright photo looks like a dark photo.

    Source: JUDE, illumination enhancement (encoder-decoder with pointwise convolutions and
    skips). Our changes: the network predicts a gain, not the light, so the light remains positive;
    and ``pooled``.

    Example:
        >>> import torch
        >>> from unfold.estimators import IlluminationNet
        >>> light = torch.full((1, 1, 16, 16), 0.25)
        >>> enhanced, features = IlluminationNet(channels=1, widths=(4, 8))(light)
        >>> torch.allclose(enhanced, light)  # before training
        True
    """

    requires_training = True

    def __init__(
        self, channels: int = 3, *, widths: Widths = (32, 64, 128), pooled: bool = False
    ) -> None:
        super().__init__()
        self.pooled = pooled
        pairs = list(itertools.pairwise(widths))
        self.head = _pointwise(channels, widths[0])
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(fine, fine, 3, stride=2, padding=1, groups=fine),
                _pointwise(fine, coarse),
                _pointwise(coarse, coarse),
            )
            for fine, coarse in pairs
        )
        self.from_mean = nn.Conv2d(widths[-1], widths[-1], 1) if pooled else None
        self.up = nn.ModuleList(_pointwise(coarse, fine) for fine, coarse in reversed(pairs))
        self.tail = nn.Conv2d(widths[0], channels, 1)
        nn.init.zeros_(self.tail.weight)
        assert self.tail.bias is not None
        nn.init.zeros_(self.tail.bias)

    def forward(self, light: Tensor, scene: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The enhanced light, and the features of the coarsest level.

        Args:
            light: ``(B, channels, H, W)``.
            scene: mean of those features over the whole photo, ``(B, C, 1, 1)``, if ``light`` is a
                part of it; used only if the enhancer is ``pooled``.
        """
        skips = [self.head(light)]
        for down in self.down:
            skips.append(down(skips[-1]))
        x = features = skips.pop()
        if self.from_mean is not None:
            scene = x.mean((-2, -1), keepdim=True) if scene is None else scene
            x = torch.relu(x + self.from_mean(scene))
        *ups, last = self.up
        for up in ups:
            skip = skips.pop()
            x = _enlarged(up(x), skip) + skip
        # The tail is affine: it is applied before the upsampling, to a quarter of the pixels.
        assert self.tail.bias is not None
        skip, coarse = skips.pop(), self.tail(last(x)) - self.tail.bias[:, None, None]
        x = self.tail(skip) + _enlarged(coarse, skip)
        gain = 4 * torch.tanh(x.to(light.dtype) / 4)
        return light * gain.exp(), features


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    return interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def _pointwise(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.ReLU(inplace=True))


class PowerCurve(IlluminationEnhancer):
    """``L -> L^γ``, γ in [0.4, 1]: brings the geometric mean of the light to a given brightness.

    γ is estimated from the photo's initial Retinex split; the optimization hardly changes the mean
    of that illumination.

    Args:
        brightness: geometric mean of the result; brighter photos are not changed.

    Source: gamma correction of the illumination, as in LIME (Guo et al., TIP 2017).

    Example:
        >>> import torch
        >>> from unfold.estimators import PowerCurve
        >>> light, _ = PowerCurve(brightness=0.5)(torch.full((1, 1, 8, 8), 0.25))
        >>> light.mean().item()
        0.5
    """

    def __init__(
        self, channels: int = 1, *, brightness: Annotated[float, Field(gt=0, lt=1)] = 0.35
    ) -> None:
        super().__init__()
        self.brightness = brightness

    def forward(self, light: Tensor, scene: Tensor | None = None) -> tuple[Tensor, None]:
        if scene is None:
            scene = _mean_logarithm(light.amax(1, keepdim=True))
        power = (math.log(self.brightness) / scene.clamp_max(-1e-3)).clamp(0.4, 1)
        return light.clamp(0, 1).pow(power), None

    def measure(self, image: Tensor) -> Tensor:
        return _mean_logarithm(retinex_split(thinned(image))[1])


def _mean_logarithm(light: Tensor) -> Tensor:
    return light.clamp(1e-2, 1).log().mean((1, 2, 3), keepdim=True)
