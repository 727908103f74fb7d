"""Exposure: how much too dark a photo is, told from how its values are spread."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from .roles import ExposureEstimator

_WEIGHTS = Path(__file__).with_suffix(".safetensors")
_QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.995, 0.999)
_WHITE = _QUANTILES.index(0.995)
_LAYERS, _FAINTEST = 3, -5.0
# Means between which a photo goes over from dark to bright.
_DARK, _BRIGHT = 0.25, 0.4
_LARGEST_CURVE = 2.0  # its logarithm
_LEAST = 1e-3  # of a value that a logarithm is taken of
LARGEST_GAIN = 24.0
_ENOUGH_PIXELS = 250_000


class HistogramExposure(ExposureEstimator):
    """The gain and the curve that bring a dark photo to full exposure; 1 and 1 for a good one.

    What is brighter than white once a gain is applied would be lost. So a network of three small
    layers tells how much brighter the photo's darks should become than if its brightest half
    percent were brought to white, from 11 quantiles and the mean of its largest channel and of
    its grey, all compared with that half percent. As much of it as the brightest allow is a
    ``gain`` g, the rest a ``curve`` c (see `expose`), which keeps white: a photo with lamps in the
    dark has no room for a gain.

    Its weights come with it (``benchmarks/weights/exposure.py`` makes them); they are buffers, and
    stay as they are when a model around it is trained.

    Source: ours. The curve is Reinhard's, scaled to keep 1 (Reinhard et al., "Photographic
    tone reproduction", SIGGRAPH 2002, equation 3).
    """

    def __init__(self) -> None:
        super().__init__()
        for name, tensor in load_file(_WEIGHTS).items():
            self.register_buffer(name, tensor)

    @torch.no_grad()
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """``gain`` and ``curve``, each ``(B, 1, 1, 1)`` and at least 1, their product at most 24.

        Args:
            image: ``(B, 3, H, W)`` in [0, 1]. Of a large one every other pixel, or fewer, are
                looked at. No gradient passes.
        """
        values = spread(image)
        return divide_gain(self.log_gain(values).exp().clamp(1, LARGEST_GAIN), values)

    def log_gain(self, values: Tensor) -> Tensor:
        """The logarithm of the gain in all, ``(B,)``, from what `spread` tells."""
        x, *bounds = features(values)
        for n in range(_LAYERS):
            weight, bias = (self.get_buffer(f"{name}_{n}").to(x) for name in ("weight", "bias"))
            x = torch.nn.functional.silu(x) if n else x
            x = (x[:, None] * weight).sum(-1) + bias  # (autocast would round a matrix product)
        return within(x[:, 0], *bounds)


def expose(image: Tensor, gain: Tensor, curve: Tensor) -> Tensor:
    """``c y / (1 + (c − 1) y)``, ``y = g x``: times ``g c`` in the darks, and ``y = 1`` stays 1.

    Args:
        image: x, ``(B, 3, H, W)``, at least 0.
        gain, curve: g and c, ``(B, 1, 1, 1)``, at least 1.
    """
    y = image * gain
    return curve * y / (1 + (curve - 1) * y)


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


def features(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the network sees of that, ``(B, 26)``; the logarithm of the gain to white, ``(B,)``;
    and how dark the photo is once it has that, 0 to 1."""
    white = values[:, _WHITE, None]
    relative = (values / white).log().clamp_min(_FAINTEST)
    room = _room(values).log()
    t = ((_BRIGHT - values[:, -1] * room.exp()) / (_BRIGHT - _DARK)).clamp(0, 1)
    return torch.cat([relative, white.log(), white], 1), room, t * t * (3 - 2 * t)


def within(found: Tensor, room: Tensor, dark: Tensor) -> Tensor:
    """The logarithm of the gain in all: beyond white, only as far as the photo is dark."""
    return room + found.clamp_max(0) + dark * found.clamp(0, _LARGEST_CURVE)


def divide_gain(gain: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """A gain ``(B,)`` as what the brightest half percent allows, and the rest of it."""
    linear = torch.minimum(gain, _room(values))
    return linear.view(-1, 1, 1, 1), (gain / linear).view(-1, 1, 1, 1)


def _room(values: Tensor) -> Tensor:
    """The gain that brings the brightest half percent to white, ``(B,)``; at least 1."""
    return (1 / values[:, _WHITE]).clamp_min(1)
