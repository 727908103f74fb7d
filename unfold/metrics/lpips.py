"""Learned perceptual similarity."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from unfold.errors import InputError

from .base import Metric, MetricError
from .weights import find_weights, read_tensors

_URLS = {
    "alex": "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "vgg": "https://download.pytorch.org/models/vgg16-397923af.pth",
}
# What is left after the strides of a network must still be a pixel.
_LEAST_SIDE = {"alex": 31, "vgg": 16}


class LPIPS(Metric):
    """Learned perceptual image patch similarity, v0.1: a perceptual distance of two photos, 0 for
    equal ones.

    It is the squared distance of a network's features, normalized to unit length and weighted by
    learned weights of the channels, averaged over pixels and summed over layers. The `lpips`
    package computes it and provides the weights of the channels. The network's weights are those of
    torchvision; they are not downloaded. A gray photo counts as three equal channels.

    Args:
        net: ``"alex"``, or ``"vgg"`` (VGG-16). Their values are not comparable.
        input_range: range of the network's input. The network was trained with ``"[-1,1]"``. With
            ``"[0,1]"``, photos have half of that contrast. Some papers measure this way, and their
            values are comparable only with each other.
        weights: torchvision's state dict of the network, of which only ``features.*`` is read. By
            default, the file in torch.hub's cache.

    Raises:
        MetricError: if there are no weights, or the file lacks some of them.
        InputError: if a photo is too small for the network (31 pixels for alex, 16 for vgg).

    Source: Zhang, Isola, Efros, Shechtman, Wang, "The unreasonable effectiveness of deep features
    as a perceptual metric", CVPR 2018, eq. 1.

    Example:
        >>> from unfold.metrics import LPIPS
        >>> LPIPS(weights="alexnet.pth")  # no such file; it is never downloaded
        Traceback (most recent call last):
            ...
        unfold.metrics.base.MetricError: LPIPS (alex): there is no file alexnet.pth; get it ...
    """

    better = "lower"

    def __init__(
        self,
        *,
        net: Literal["alex", "vgg"] = "alex",
        input_range: Literal["[-1,1]", "[0,1]"] = "[-1,1]",
        weights: Path | None = None,
    ) -> None:
        super().__init__()
        path = find_weights(f"LPIPS ({net})", _URLS[net], weights)
        self.net, self.input_range = net, input_range
        self.distance = _distance(net)
        _fill(self.distance.get_submodule("net"), read_tensors("LPIPS", path), path)

    def measure(self, image: Tensor, reference: Tensor | None) -> Tensor:
        assert reference is not None
        height, width = image.shape[-2:]
        if min(height, width) < _LEAST_SIDE[self.net]:
            raise InputError(
                f"LPIPS ({self.net}) needs {_LEAST_SIDE[self.net]} pixels a side, got "
                f"{width}×{height}; leave it out for such pictures"
            )
        self.distance.eval()  # in training mode its dropout would make the value random
        kind = next(self.distance.parameters()).dtype
        x, y = (t.to(kind).expand(-1, 3, -1, -1) for t in (image, reference))
        return self.distance(x, y, normalize=self.input_range == "[-1,1]").double().flatten()


def _distance(net: str) -> nn.Module:
    """The package's module with its channel weights; the network has random weights."""
    import lpips

    # Drawing the random network must not change the numbers that the caller draws after it.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's, about how lpips calls it
        # pnet_rand: else torchvision would download the network's weights.
        return lpips.LPIPS(net=net, pnet_rand=True, verbose=False).requires_grad_(False)


def _fill(network: nn.Module, features: dict[str, Tensor], path: Path) -> None:
    # lpips cuts torchvision's features into slices and keeps their numbers: slice2.3 is features.3.
    names = {name: "features." + name.partition(".")[2] for name in network.state_dict()}
    missing = [name for name in names.values() if name not in features]
    if missing:
        raise MetricError(
            f"LPIPS: {path} lacks {', '.join(missing[:3])}{' ...' * (len(missing) > 3)}: give "
            "torchvision's weights of this network, whole or its convolutions alone"
        )
    try:
        network.load_state_dict({ours: features[theirs] for ours, theirs in names.items()})
    except RuntimeError as error:
        raise MetricError(f"LPIPS: {path} holds the weights of another network") from error
