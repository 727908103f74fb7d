"""Discs of several radii, and their maps for a photo with defocus."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from unfold.degradation.kernels import SHAPES, aperture_kernels
from unfold.estimators.blur_radius import blur_radius
from unfold.estimators.noise import PhotoNoise
from unfold.estimators.roles import KernelEstimator


class DiscKernels(KernelEstimator):
    """A stack of discs with maps that follow from the blur radius at each pixel (`blur_radius`).

    The first disc is a point; the radii of the others form a geometric sequence. At a pixel whose
    radius lies between two of them, both discs have a share, by linear interpolation.

    Args:
        num_kernels: number of discs, at least 2.
        least, largest: radius of the second and of the last disc, in pixels.

    Returns (from ``forward``): discs ``(B, M, n, n)``, and the logarithms of the maps
    ``(B, M, H, W)``, whose softmax sums to one. `ErA` uses them as several kernels
    (``kernel_estimator="disc", num_kernels=8``).

    Raises:
        ValueError: if there are fewer than two discs, or the radii do not increase.

    Source: a thin lens spreads a point into a disc, the circle of confusion; see `blur_radius`.

    Example:
        >>> import torch
        >>> from unfold.models.disc_kernels import DiscKernels
        >>> discs, logits = DiscKernels(4, largest=3.0)(torch.rand(1, 3, 64, 64))
        >>> discs.shape, logits.shape
        (torch.Size([1, 4, 9, 9]), torch.Size([1, 4, 64, 64]))
        >>> [int((disc > 0).sum()) for disc in discs[0]]  # pixels of each
        [1, 5, 9, 45]
    """

    discs: Tensor

    def __init__(
        self,
        num_kernels: int = 8,
        *,
        least: Annotated[float, Field(gt=0, le=2)] = 0.7,
        largest: Annotated[float, Field(gt=0, le=7)] = 5.0,
    ) -> None:
        super().__init__()
        if num_kernels < 2 or not 0 < least < largest:
            raise ValueError(
                f"DiscKernels({num_kernels}, least={least:g}, largest={largest:g}): there must be "
                "at least two discs, and least must be smaller than largest"
            )
        ratio = (largest / least) ** (1 / max(1, num_kernels - 2))
        self.radii = (0.0, *(largest / ratio**i for i in range(num_kernels - 2, -1, -1)))
        self.register_buffer("discs", discs(self.radii)[None].float(), persistent=False)
        self.kernel_size = int(self.discs.shape[-1])
        self.noise = PhotoNoise()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        radius = blur_radius(image, self.noise(image))
        return self.measure(image), self.maps(radius).clamp_min(1e-6).log()

    def measure(self, image: Tensor) -> Tensor:
        return self.discs.to(image).expand(len(image), -1, -1, -1)

    def maps(self, radius: Tensor) -> Tensor:
        """The share of each disc at each pixel, ``(B, M, H, W)``, from radii ``(B, 1, H, W)``."""
        known = torch.tensor(self.radii, dtype=radius.dtype, device=radius.device).view(1, -1, 1, 1)
        place = torch.searchsorted(known.flatten(), radius.contiguous()).clamp(
            1, len(self.radii) - 1
        )
        low, high = known.flatten()[place - 1], known.flatten()[place]
        share = ((radius - low) / (high - low)).clamp(0, 1)
        index = torch.arange(len(self.radii), device=radius.device).view(1, -1, 1, 1)
        return torch.where(index == place, share, 0) + torch.where(index == place - 1, 1 - share, 0)


def discs(radii: tuple[float, ...]) -> Tensor:
    """Discs ``(M, n, n)`` in float64; each sums to 1."""
    radius = torch.tensor(radii, dtype=torch.float64)
    one = torch.ones_like(radius)
    shape = torch.full((len(radii),), SHAPES.index("disc"))
    return aperture_kernels(shape, radius, one, 0 * one, one)[:, 0]
