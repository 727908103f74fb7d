"""What a camera does between its sensor and a file, forwards and backwards.

Source: Brooks et al., "Unprocessing images for learned raw denoising", CVPR 2019, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .color_space import LUMINANCE

GAMMA = 2.2
# Camera colors from CIE XYZ: four cameras of the Darmstadt noise data set (there section 3.2).
CAMERAS = torch.tensor(
    [
        [[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]],
        [[0.4913, -0.0541, -0.0202], [-0.6130, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]],
        [[0.8380, -0.2630, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]],
        [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]],
    ],
    dtype=torch.float64,
)
# Not kornia's rgb_to_xyz: it rounds this matrix to 6 digits.
XYZ_FROM_RGB = torch.tensor(
    [
        [0.4124564, 0.3575761, 0.1804375],
        LUMINANCE,
        [0.0193339, 0.1191920, 0.9503041],
    ],
    dtype=torch.float64,
)


@dataclass(frozen=True)
class Camera:
    """A camera's colors and gains, for each photo of a batch.

    Attributes:
        colors: ``(B, 3, 3)``: sensor colors from linear sRGB; white is white.
        gains: ``(B, 3, 1, 1)``: what the camera multiplies red, green and blue by, for its white
            balance and brightness together.
    """

    colors: Tensor
    gains: Tensor

    @classmethod
    def blend(cls, weights: Tensor, gains: Tensor) -> Camera:
        """The weighted mean, ``(B, 4)``, of four real cameras, with gains ``(B, 3)``."""
        cameras, xyz = CAMERAS.to(weights.device), XYZ_FROM_RGB.to(weights.device)
        colors = torch.einsum("bn,nij->bij", weights, cameras) @ xyz
        return cls(colors / colors.sum(2, keepdim=True), gains[:, :, None, None])

    def to(self, image: Tensor) -> Camera:
        return Camera(self.colors.to(image), self.gains.to(image))

    def unprocess(self, image: Tensor) -> Tensor:
        """Encoded sRGB ``(B, 3, H, W)`` to what the sensor saw, linear, both in [0, 1].

        Undoes the tone curve ``3x² − 2x³``, the gamma, the colors and the gains. Highlights keep
        more than their share: where the mean of a pixel's colors exceeds 0.9, the gains are
        undone less and less, as white is where the sensor was full.
        """
        image = 0.5 - torch.sin(torch.asin(1 - 2 * image.clamp(0, 1)) / 3)
        light = _mix(self.colors, image.clamp(min=0) ** GAMMA)
        full = ((light.mean(1, keepdim=True) - 0.9).clamp(min=0) / 0.1) ** 2
        undo = 1 / self.gains
        return (light * torch.maximum(full + (1 - full) * undo, undo)).clamp(0, 1)

    def develop(self, light: Tensor) -> Tensor:
        """Sensor colors times the gains, ``(B, 3, H, W)``, to encoded sRGB in [0, 1]: colors,
        gamma and the tone curve, clipped to [0, 1] before and after the colors."""
        light = _mix(torch.linalg.inv(self.colors), light.clamp(0, 1))
        encoded = light.clamp(0, 1) ** (1 / GAMMA)
        return encoded**2 * (3 - 2 * encoded)


def _mix(matrix: Tensor, image: Tensor) -> Tensor:
    return torch.einsum("bij,bjhw->bihw", matrix, image)


def bayer(image: Tensor) -> Tensor:
    """Which of red, green and blue a sensor's pixels see, ``(3, H, W)`` of 0 and 1, RGGB, for
    pictures ``(..., H, W)``."""
    height, width = image.shape[-2:]
    y = torch.arange(height, device=image.device)[:, None] % 2
    x = torch.arange(width, device=image.device) % 2
    return torch.stack((x + y == 0, x + y == 1, x + y == 2)).to(image)


def demosaic(mosaic: Tensor) -> Tensor:
    """All three colors at every pixel of an RGGB mosaic ``(B, 1, H, W)`` of balanced white;
    H and W at least 2.

    Each missing color is interpolated linearly from its neighbors and corrected by the
    curvature of the color that was seen there, as colors of a balanced picture rise and fall
    together: Malvar, He and Cutler, "High-quality linear interpolation for demosaicing of
    Bayer-patterned color images", ICASSP 2004. Mirrored at the border.
    """
    # Not kornia's raw_to_rgb: it is bilinear (29.4 dB where this has 32.8) and needs even sizes.
    height, width = mosaic.shape[-2:]
    around = mosaic[..., _reflected(height, mosaic), :][..., _reflected(width, mosaic)]

    def at(y: int, x: int) -> Tensor:
        return around[..., 2 + y : 2 + y + height, 2 + x : 2 + x + width]

    beside, above = at(0, -1) + at(0, 1), at(-1, 0) + at(1, 0)
    beside_far, above_far = at(0, -2) + at(0, 2), at(-2, 0) + at(2, 0)
    corners = at(-1, -1) + at(-1, 1) + at(1, -1) + at(1, 1)
    green = (4 * mosaic + 2 * (beside + above) - (beside_far + above_far)) / 8
    opposite = (6 * mosaic + 2 * corners - 1.5 * (beside_far + above_far)) / 8
    shared = 5 * mosaic - corners
    along = (shared + 4 * beside - beside_far + 0.5 * above_far) / 8
    across = (shared + 4 * above - above_far + 0.5 * beside_far) / 8

    red_seen, green_seen, blue_seen = bayer(mosaic)
    odd_row = torch.arange(height, device=mosaic.device)[:, None] % 2 == 1
    # A green pixel has its row's other color beside it, the other row's above and below.
    red_at_green, blue_at_green = (
        torch.where(odd_row, *pair) for pair in ((across, along), (along, across))
    )
    return torch.cat(
        (
            red_seen * mosaic + green_seen * red_at_green + blue_seen * opposite,
            green_seen * mosaic + (1 - green_seen) * green,
            blue_seen * mosaic + green_seen * blue_at_green + red_seen * opposite,
        ),
        1,
    )


def _reflected(size: int, like: Tensor) -> Tensor:
    """Indices from −2 to size + 1, mirrored about the outermost pixels, which keeps colors."""
    index = torch.arange(-2, size + 2, device=like.device) % (2 * size - 2)
    return torch.minimum(index, 2 * size - 2 - index)
