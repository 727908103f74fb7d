"""Exposure: how much too dark a photo is, estimated from how its values are spread."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import avg_pool2d, softplus

from .roles import ExposureEstimator

_WEIGHTS = Path(__file__).with_suffix(".safetensors")
_QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.995, 0.999)
_WHITE = _QUANTILES.index(0.995)
_LAYERS, _FAINTEST = 3, -5.0
# Means between which a photo goes over from dark to bright.
_DARK, _BRIGHT = 0.25, 0.4
# Logarithms: of a gain beyond white, and of the gain and the curve.
_MOST_BEYOND, _MOST_GAIN, _MOST_CURVE = 1.0, 3.7, 3.0
LARGEST = 110.0  # product of gain and curve
_LEAST = 1e-3  # of a value that a logarithm is taken of
_ENOUGH_PIXELS = 250_000
_WINDOW = 7  # pixels that the mean around a pixel is taken of


class HistogramExposure(ExposureEstimator):
    """The gain and the curve that bring a dark photo to full exposure; 1 and 1 for a good one.

    A photo is compared with white, the value that its brightest half percent reach. A network of
    three small layers predicts, from 11 quantiles and the mean of its largest channel and of its
    gray, the ratio of the ``gain`` g to the gain that brings this half percent to white, and the
    ``curve`` c (see `expose`), which keeps white: a photo with lamps in the dark cannot take a
    gain. A photo that is bright once its half percent is white gets no curve.

    Its weights are shipped (``benchmarks/weights/exposure.py`` makes them); they are buffers, which
    training a model around it leaves unchanged.

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
        """``gain`` and ``curve``, each ``(B, 1, 1, 1)`` and at least 1; at most 41 and 21, their
        product at most 110.

        Args:
            image: ``(B, 3, H, W)`` in [0, 1]. Of a large one every other pixel, or fewer, are
                looked at. No gradient passes.
        """
        values = spread(image)
        x = features(values)
        for n in range(_LAYERS):
            weight, bias = (self.get_buffer(f"{name}_{n}").to(x) for name in ("weight", "bias"))
            x = torch.nn.functional.silu(x) if n else x
            x = (x[:, None] * weight).sum(-1) + bias  # (autocast would round a matrix product)
        return gain_and_curve(x, values)


def expose(image: Tensor, gain: Tensor, curve: Tensor) -> Tensor:
    """``c y / (1 + (c − 1) y)``, ``y = g x``: times ``g c`` in the darks, and ``y = 1`` stays 1.

    Args:
        image: x, ``(B, 3, H, W)``, at least 0.
        gain, curve: g and c, ``(B, 1, 1, 1)``, at least 1.
    """
    # (In place where that can be: of a whole photo there is little room for copies.)
    y = image * gain
    below = ((curve - 1) * y).add_(1)
    return curve * y / below if torch.is_grad_enabled() else y.mul_(curve).div_(below)


def amplification(image: Tensor, gain: Tensor, curve: Tensor) -> Tensor:
    """By how much `expose` multiplies the standard deviation of noise: its slope at each pixel.

    ``g c / (1 + (c − 1) y)²``, y the mean over 7×7 pixels, times g, in [0, 1]: g c in the darks and
    g / c at white.

    Args:
        image, gain, curve: as for `expose`.

    Returns:
        As large as the image; 1 where its exposure remains as it is.

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
    """Quantiles and the mean of the largest channel, and those of the mean one, ``(B, 24)``."""
    height, width = image.shape[-2:]
    step = max(1, int((height * width / _ENOUGH_PIXELS) ** 0.5))
    image = image[..., ::step, ::step]
    both = torch.stack([image.amax(1), image.mean(1)], 1).flatten(2)
    last = both.shape[-1] - 1
    ordered = both.sort(dim=-1).values
    quantiles = [ordered[..., round(q * last)] for q in _QUANTILES]
    return torch.stack([*quantiles, both.mean(-1)], -1).clamp_min(_LEAST).flatten(1)


def features(values: Tensor) -> Tensor:
    """What the network sees of that, ``(B, 26)``."""
    white = values[:, _WHITE, None]
    relative = (values / white).log().clamp_min(_FAINTEST)
    return torch.cat([relative, white.log(), white], 1)


def gain_and_curve(found: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and curve, ``(B, 1, 1, 1)`` each, from the network's two outputs.

    Args:
        found: ``(B, 2)``: the logarithm of the gain, compared with the one that brings the
            brightest half percent to white; from which the curve is estimated.
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
