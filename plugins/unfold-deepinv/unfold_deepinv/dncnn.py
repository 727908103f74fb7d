"""DeepInverse's DnCNN."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from unfold.core import Prior
from unfold.priors.blocks import Width

from .steps import one_per_image
from .weights import Weights, load_weights

NOISE = 2 / 255
"""The standard deviation of the noise in the training of the released weights."""


class DeepInvDnCNN(Prior):
    """A denoiser for one noise level, scaled to any level: `deepinv.models.DnCNN`.

    ``prox(v, step) = (σ/σ₀) net(v σ₀/σ)`` with ``σ = sqrt(step)`` and ``σ₀ = noise``: the input
    is scaled to the noise level of the training, and the output is scaled back. Therefore
    ``prox(a v, a² step) = a prox(v, step)``. If σ is much larger than σ₀, the scaled image has a
    low contrast, for which the network was not trained.

    Args:
        channels: number of channels of the block.
        weights: a file with its state dict; "download" for DeepInverse's; "random" to train it.
        noise: σ₀, in the image's unit.
        depth: number of convolutions; 20 in released weights.
        width: number of channels of the hidden layers; 64 in released weights.

    Source: Zhang et al., "Beyond a Gaussian denoiser: residual learning of deep CNN for image
    denoising", IEEE TIP 2017; here without batch normalization.
    """

    accepts_map = False

    def __init__(
        self,
        channels: int = 3,
        *,
        weights: Weights = None,
        noise: Annotated[float, Field(gt=0, le=1)] = NOISE,
        depth: Annotated[int, Field(ge=2, le=200)] = 20,
        width: Width = 64,
    ) -> None:
        from deepinv.models import DnCNN

        super().__init__()
        self.channels = channels
        self.noise = noise
        self.net = DnCNN(channels, channels, depth=depth, nf=width, pretrained=None)
        color = {1: "gray", 3: "color"}.get(channels) if (depth, width) == (20, 64) else None
        released = f"dncnn_sigma2_{color}.pth" if color else None
        self.requires_training = weights == "random"
        load_weights(self.net, weights, model="dncnn", released=released)

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        # (A step of zero is replaced by a noise level that is negligible in any photo.)
        scale = one_per_image(self, v, step).clamp_min(1e-12).sqrt().to(v.dtype) / self.noise
        return scale * self.net(v / scale).to(v.dtype)
