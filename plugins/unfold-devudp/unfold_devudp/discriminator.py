"""PatchGAN: a discriminator of patches of real and generated photos."""

from __future__ import annotations

import itertools

from torch import Tensor, nn

from unfold.errors import InputError
from unfold.priors.blocks import Widths


class PatchDiscriminator(nn.Module):
    """Maps photos ``(B, 3, H, W)`` in [0, 1] to scores ``(B, 1, h, w)``, one for each patch.

    4×4 convolutions with stride 2, each followed by LeakyReLU(0.2), from the second on with
    instance normalization before it; then a 4×4 convolution with stride 1. The receptive field is
    94 × 94 pixels. It has 391,657 parameters, as many as FCL-GAN's discriminator. The photo is
    scaled to [−1, 1] inside.

    Args:
        widths: number of channels after each convolution with stride 2.

    Raises:
        InputError: if there is no width or one below 1, or a photo has fewer than
            ``2 ** (len(widths) + 1)`` rows or columns.

    Source: Zhao et al., "FCL-GAN: a lightweight and real-time baseline for unsupervised blind image
    deblurring", ACM MM 2022 (widths, size and where it normalizes, from its released code, which
    also adds a row and a column of zeros before the last convolution); Isola et al.,
    "Image-to-image translation with conditional adversarial networks", CVPR 2017 (PatchGAN).
    """

    def __init__(self, *, widths: Widths = (24, 48, 96, 192)) -> None:
        super().__init__()
        if not widths or min(widths) < 1:
            raise InputError(f"PatchDiscriminator(widths={widths}): needs positive widths")
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise((3, *widths)):
            layers.append(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1))
            if len(layers) > 1:
                layers.append(nn.InstanceNorm2d(outputs))
            layers.append(nn.LeakyReLU(0.2))
        self.least = 2 ** (len(widths) + 1)
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        if min(image.shape[-2:]) < self.least:
            raise InputError(
                f"PatchDiscriminator needs photos of at least {self.least}×{self.least} pixels, "
                f"got {tuple(image.shape)}: train on larger crops"
            )
        return self.layers(2 * image - 1)
