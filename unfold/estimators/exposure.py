"""Estimation of the exposure of a dark photo: from its histogram, or its brightest part."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import avg_pool2d, softplus

from .noise import thinned
from .roles import ExposureEstimator

_WEIGHTS = Path(__file__).with_suffix(".safetensors")
_QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.995, 0.999)
_WHITE = _QUANTILES.index(0.995)
_LAYERS, _FAINTEST = 3, -5.0
# Means between which a photo changes from dark to bright.
_DARK, _BRIGHT = 0.25, 0.4
# Logarithms of the gain relative to white, of the gain, and of the curve: upper bounds.
_MOST_BEYOND, _MOST_GAIN, _MOST_CURVE = 1.0, 3.7, 3.0
LARGEST = 110.0  # product of gain and curve
_LEAST = 1e-3  # lower bound of values before their logarithm is computed
_ENOUGH_PIXELS = 250_000
_WINDOW = 7  # side of the local mean, in pixels
# `BrightestExposure` scales the brightest half percent of a photo to the first number, if it is
# below the second; a photo is well exposed if it exceeds the third.
_BRIGHTEST, _UNDEREXPOSED, _WELL_EXPOSED = 0.95, 0.4, 0.7
_LARGEST_GAIN = 12.0


class HistogramExposure(ExposureEstimator):
    """Predicts the gain and the curve that bring a dark photo to full exposure.

    White is the value that the brightest half percent of the photo exceeds. From 11 quantiles and
    the mean, of the largest channel and of the mean channel, a network of three small layers
    predicts the ratio of the ``gain`` g to the gain that maps white to 1, and the ``curve`` c (see
    `expose`). The curve keeps white unchanged: it brightens a night photo with lamps, for which a
    gain would clip the lamps. The curve of a photo that is bright after the gain is 1, and so are
    gain and curve of a well exposed photo.

    Its weights are shipped (``benchmarks/weights/exposure.py`` computes them). They are buffers, so
    training a model does not change them.

    Source: ours. The curve is Reinhard's, scaled to keep 1 (Reinhard et al., "Photographic
    tone reproduction", SIGGRAPH 2002, equation 3).

    Example:
        >>> import torch
        >>> from unfold.estimators import HistogramExposure
        >>> dark, bright = torch.full((1, 3, 16, 16), 0.02), torch.ones(1, 3, 16, 16)
        >>> gain, curve = HistogramExposure()(torch.cat([dark, bright]))
        >>> gain.flatten() > 1
        tensor([ True, False])
    """

    def __init__(self) -> None:
        super().__init__()
        for name, tensor in load_file(_WEIGHTS).items():
            self.register_buffer(name, tensor)

    @torch.no_grad()
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """``gain`` and ``curve``, each ``(B, 1, 1, 1)`` and at least 1. They are at most 41 and 21,
        and their product is at most 110.

        Args:
            image: ``(B, 3, H, W)`` in [0, 1]. Large images are subsampled. The result has no
                gradient.
        """
        values = spread(image)
        x = features(values)
        for n in range(_LAYERS):
            weight, bias = (self.get_buffer(f"{name}_{n}").to(x) for name in ("weight", "bias"))
            x = torch.nn.functional.silu(x) if n else x
            x = (x[:, None] * weight).sum(-1) + bias  # (autocast would round a matrix product)
        return gain_and_curve(x, values)


def expose(image: Tensor, gain: Tensor, curve: Tensor) -> Tensor:
    """``c y / (1 + (c − 1) y)``, ``y = g x``: the factor is ``g c`` near 0, and 1 maps to 1.

    Args:
        image: x, ``(B, 3, H, W)``, at least 0.
        gain, curve: g and c, ``(B, 1, 1, 1)``, at least 1.
    """
    # (In place if possible, to save the memory of copies of a whole photo.)
    y = image * gain
    below = ((curve - 1) * y).add_(1)
    return curve * y / below if torch.is_grad_enabled() else y.mul_(curve).div_(below)


def amplification(image: Tensor, gain: Tensor, curve: Tensor) -> Tensor:
    """The slope of `expose` at each pixel, by which it multiplies the standard deviation of noise.

    ``g c / (1 + (c − 1) y)²``, where y is g times the mean over 7×7 pixels, clipped to [0, 1]: g c
    near 0 and g / c at white.

    Args:
        image, gain, curve: as for `expose`.

    Returns:
        A map of the size of the image; 1 if the exposure is not changed.

    Example:
        >>> import torch
        >>> from unfold.estimators.exposure import amplification
        >>> image = torch.tensor([0.0, 0.25]).repeat_interleave(32).expand(1, 3, 8, 64)
        >>> gain, curve = torch.full((1, 1, 1, 1), 4.0), torch.full((1, 1, 1, 1), 5.0)
        >>> amplification(image, gain, curve)[0, 0, 0, ::63]
        tensor([20.0000,  0.8000])
    """
    y = (_local_mean(image) * gain).clamp(0, 1)
    return gain * curve / (1 + (curve - 1) * y).square()


def _local_mean(image: Tensor) -> Tensor:
    rows, columns = (min(_WINDOW, n) // 2 for n in image.shape[-2:])
    window, margin = (2 * rows + 1, 2 * columns + 1), (rows, columns)
    return avg_pool2d(image, window, 1, margin, count_include_pad=False)


def spread(image: Tensor) -> Tensor:
    """Quantiles and means of the largest channel and of the mean channel, ``(B, 24)``."""
    height, width = image.shape[-2:]
    step = max(1, int((height * width / _ENOUGH_PIXELS) ** 0.5))
    image = image[..., ::step, ::step]
    both = torch.stack([image.amax(1), image.mean(1)], 1).flatten(2)
    last = both.shape[-1] - 1
    ordered = both.sort(dim=-1).values
    quantiles = [ordered[..., round(q * last)] for q in _QUANTILES]
    return torch.stack([*quantiles, both.mean(-1)], -1).clamp_min(_LEAST).flatten(1)


def features(values: Tensor) -> Tensor:
    """The input of the network, ``(B, 26)``, from the values of `spread`."""
    white = values[:, _WHITE, None]
    relative = (values / white).log().clamp_min(_FAINTEST)
    return torch.cat([relative, white.log(), white], 1)


def gain_and_curve(found: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and curve, ``(B, 1, 1, 1)`` each, from the two outputs of the network.

    Args:
        found: ``(B, 2)``: the logarithm of the gain, relative to the gain that brings the brightest
            half percent to white; and the output from which the curve is computed.
        values: see `spread`.
    """
    room = (1 / values[:, _WHITE]).clamp_min(1)
    t = ((_BRIGHT - values[:, -1] * room) / (_BRIGHT - _DARK)).clamp(0, 1)
    dark = t * t * (3 - 2 * t)
    beyond, curve = found.unbind(1)
    gain = (room.log() + beyond.clamp_max(_MOST_BEYOND)).clamp(0, _MOST_GAIN)
    curve = (dark * softplus(2 * curve - 2)).clamp_max(_MOST_CURVE)
    curve = torch.minimum(curve, math.log(LARGEST) - gain)
    return gain.exp().view(-1, 1, 1, 1), curve.exp().view(-1, 1, 1, 1)


class BrightestExposure(ExposureEstimator):
    """A gain that brings the brightest half percent to 0.95, without a curve. Nothing is learned.

    A photo whose brightest half percent exceeds 0.7 is assumed to be well exposed: its gain is 1.
    The gain is at most 12.

    Example:
        >>> import torch
        >>> from unfold.estimators import BrightestExposure
        >>> gain, curve = BrightestExposure()(torch.full((1, 3, 16, 16), 0.19))
        >>> round(gain.item(), 3), curve.item()
        (5.0, 1.0)
    """

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        brightest = thinned(image).amax(1).flatten(1)
        rank = max(1, int(0.995 * brightest.shape[1]))
        white = brightest.kthvalue(rank, dim=1).values.view(-1, 1, 1, 1)
        t = ((_WELL_EXPOSED - white) / (_WELL_EXPOSED - _UNDEREXPOSED)).clamp(0, 1)
        gain = (_BRIGHTEST / white.clamp_min(1e-6)).clamp(1, _LARGEST_GAIN)
        gain = gain ** (t * t * (3 - 2 * t))
        return gain, torch.ones_like(gain)
