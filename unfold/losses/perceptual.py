"""Perceptual loss: distances between VGG19's features."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from unfold.metrics.weights import find_weights, read_tensors

from .base import Loss, LossError, Outcome

_URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# The convolutions of VGG19's five blocks.
_BLOCKS = (2, 2, 4, 4, 4)
Layer = Annotated[str, Field(pattern=r"^conv[1-5]_[1-4]$")]
Layers = Annotated[tuple[Layer, ...], Field(min_length=1, max_length=16)]


class Perceptual(Loss):
    """Distance between VGG19's features: ``Σ_l mean |φ_l(x̂) − φ_l(x)|``.

    φ_l is the output of a convolution, before its ReLU. The weights are read from a file or from
    torch.hub's cache; they are not downloaded.

    Args:
        layers: names of the convolutions, such as ``conv1_2``.
        picture: x, a picture of the batch.
        of: x̂, ``"image"`` or a part of the restoration.
        scale: side of the squares over which x is averaged first.
        weights: torchvision's state dict of VGG19, of which only ``features.*`` is read.

    Raises:
        MetricError: if there are no weights; the message names the file and its place.
        LossError: if VGG19 does not have a layer, or the file lacks one.

    Source: Johnson, Alahi, Fei-Fei, ECCV 2016. The layers are those of LEDNet (with weight 0.01).
    The position before the ReLU and the norm, which the paper does not state, are those of BasicSR.

    Example:
        >>> from unfold.losses import Perceptual
        >>> Perceptual(weights="vgg19.pth")  # no such file; it is never downloaded
        Traceback (most recent call last):
            ...
        unfold.metrics.base.MetricError: the perceptual loss: there is no file vgg19.pth; ...
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        layers: Layers = ("conv1_2", "conv2_2", "conv3_4", "conv4_4"),
        picture: str = "target",
        of: str = "image",
        scale: Annotated[int, Field(ge=1, le=64)] = 1,
        weights: Path | None = None,
    ) -> None:
        super().__init__()
        self.picture, self.of, self.scale = picture, of, scale
        places = _places()
        unknown = [layer for layer in layers if layer not in places]
        if unknown or not layers:
            raise LossError(f"perceptual: VGG19 has no layer {', '.join(unknown) or 'at all'}")
        self.taken = sorted(places[layer] for layer in layers)
        path = find_weights("the perceptual loss", _URL, weights)
        self.network = _features(self.taken[-1] + 1)
        known = read_tensors("the perceptual loss", path)
        try:
            wanted = {n: known[f"features.{n}"] for n in self.network.state_dict()}
            self.network.load_state_dict(wanted)
        except (KeyError, RuntimeError) as error:
            raise LossError(f"perceptual: {path} holds no VGG19 of torchvision") from error
        self.network.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, outcome: Outcome) -> Tensor:
        made, wanted = outcome.compared(self.of, self.picture, self.scale)
        with torch.no_grad():
            features = self.features(wanted)
        pairs = zip(self.features(made), features, strict=True)
        return torch.stack([(a - b).abs().mean() for a, b in pairs]).sum()

    def features(self, image: Tensor) -> list[Tensor]:
        """The outputs of the selected convolutions for ``(B, 3, H, W)`` in [0, 1]."""
        x = (image - self.mean) / self.std
        found = []
        for place, layer in enumerate(self.network):
            x = layer(x)
            if place in self.taken:
                found.append(x)
        return found


def _places() -> dict[str, int]:
    """``conv3_4`` -> its number among torchvision's ``features``; a pool ends each block."""
    places, at = {}, 0
    for block, count in enumerate(_BLOCKS, 1):
        for number in range(1, count + 1):
            places[f"conv{block}_{number}"] = at
            at += 2
        at += 1
    return places


def _features(length: int) -> nn.Sequential:
    """VGG19's first layers, with random weights. (torchvision would also build the classifier, 0.5
    GB.)"""
    layers: list[nn.Module] = []
    for before, after, count in zip((3, 64, 128, 256, 512), (64, 128, 256, 512, 512), _BLOCKS,
                                    strict=True):  # fmt: skip
        for inputs, outputs in itertools.pairwise((before, *[after] * count)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers[:length])
