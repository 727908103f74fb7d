"""Discs whose radii span those of a photo with defocus, and their maps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from unfold.degradation.kernels import SHAPES, aperture_kernels
from unfold.errors import InputError
from unfold.estimators.blur_radius import CELL, blur_radius_of_cells, interpolated
from unfold.estimators.noise import PhotoNoise
from unfold.estimators.outliers import find_outliers
from unfold.estimators.roles import KernelEstimator

# The discs' radii are quantiles of those of the photo: the first one, and the last.
_QUANTILES = 0.03, 0.97
_TABLE = 8  # entries for each pixel of radius, of the table of second moments


class DiscKernels(KernelEstimator):
    """Discs with maps that follow from the blur radius at each pixel (`blur_radius`).

    The radii of the M discs are quantiles of those of the photo, equally far apart from 3 to 97 %.
    A photo that is blurred uniformly thus gets discs of nearly equal radii, and errors of the
    radius at single pixels have little effect. At a pixel whose radius lies between two discs, both
    have a share, by linear interpolation.

    Args:
        num_kernels: number of discs M, at least 2.
        largest: largest radius, in pixels.

    Returns (from ``forward``): discs ``(B, M, n, n)``, and the logarithms of their maps
    ``(B, M, H, W)``, whose softmax sums to one. `ErA` uses them as several kernels
    (``kernel_estimator="disc", num_kernels=4``).

    Raises:
        InputError: if there are fewer than two discs, or ``largest`` is not positive.

    Source: a thin lens spreads a point into a disc, the circle of confusion; see `blur_radius`.

    Example:
        >>> import torch
        >>> from unfold.models.disc_kernels import DiscKernels
        >>> discs, logits = DiscKernels(4, largest=3.0)(torch.rand(1, 3, 64, 64))
        >>> discs.shape, logits.shape
        (torch.Size([1, 4, 9, 9]), torch.Size([1, 4, 64, 64]))
        >>> discs.sum((-2, -1)).allclose(torch.ones(1, 4))
        True
    """

    measured_maps = {"radius": CELL}  # noqa: RUF012

    def __init__(
        self,
        num_kernels: Annotated[int, Field(ge=2, le=32)] = 4,
        num_maps: int = 0,
        *,
        largest: Annotated[float, Field(gt=0, le=7)] = 7.0,
    ) -> None:
        super().__init__()
        if num_kernels < 2 or not largest > 0:
            raise InputError(
                f"DiscKernels({num_kernels}, largest={largest:g}): there must be at least two "
                "discs, and largest must be positive"
            )
        self.num_kernels, self.largest = num_kernels, largest
        self.kernel_size = int(_discs(torch.tensor([largest])).shape[-1])
        self.noise = PhotoNoise()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        found = self.measure(image, self.noise(image))
        maps = {"radius": interpolated(found["radius"], CELL, image)}
        return found["kernel"], self.logits(image, found["kernel"], maps)

    def measure(self, image: Tensor, noise: Tensor) -> dict[str, Tensor]:
        # (Single bright or dark pixels have the spectrum of a sharp photo.)
        radius = blur_radius_of_cells(image - find_outliers(image), noise)
        return {"kernel": self.spanning(radius).to(image), "radius": radius}

    def logits(self, image: Tensor, kernels: Tensor, maps: Mapping[str, Tensor]) -> Tensor:
        if kernels.shape[1] == 1:  # a given kernel, which all maps share
            return image.new_zeros(len(image), self.num_kernels, *image.shape[-2:])
        return self.maps(maps["radius"], kernels).clamp_min(1e-6).log()

    def spanning(self, radius: Tensor) -> Tensor:
        """The discs ``(B, M, n, n)``, in float64, that span radii ``(B, 1, rows, columns)``."""
        radius = radius.clamp_max(self.largest).double().flatten(1)
        shares = torch.linspace(*_QUANTILES, self.num_kernels, device=radius.device).double()
        radii = torch.quantile(radius, shares, dim=1).mT  # (B, M)
        return _discs(radii.flatten(), self.kernel_size // 2).unflatten(0, radii.shape)

    @staticmethod
    def maps(radius: Tensor, kernels: Tensor) -> Tensor:
        """The share of each disc at each pixel, ``(B, M, H, W)``.

        Args:
            radius: in pixels, ``(B, 1, H, W)``.
            kernels: discs of increasing radii, ``(1 or B, M, n, n)``.
        """
        known = _radii(kernels).to(radius)[..., None, None]  # (1 or B, M, 1, 1)
        radius = torch.minimum(torch.maximum(radius, known[:, :1]), known[:, -1:])
        low, high = known[:, :-1], known[:, 1:]
        share = ((radius - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)  # (B, M - 1, H, W)
        # Disc m has what disc m - 1 leaves of its interval, less what disc m + 1 takes.
        one, zero = torch.ones_like(radius), torch.zeros_like(radius)
        return torch.cat((one, share), 1) - torch.cat((share, zero), 1)


def _discs(radii: Tensor, reach: int | None = None) -> Tensor:
    """Discs ``(M, n, n)`` in float64; each sums to 1."""
    radii = radii.double()
    one = torch.ones_like(radii)
    shape = torch.full((len(radii),), SHAPES.index("disc"), device=radii.device)
    return aperture_kernels(shape, radii, one, 0 * one, one, reach=reach)[:, 0]


def _radii(kernels: Tensor) -> Tensor:
    """The radius of the disc that has the second moment of each kernel, ``(B, M)``."""
    known, moments = (table.to(kernels.device) for table in _table())
    moment = second_moment(kernels.double().flatten(0, 1))[:, None]
    # Linear interpolation, as a sum over the intervals of the table (tiny discs are points).
    shares = (moment - moments[:-1]) / moments.diff().clamp_min(1e-12)
    radii = known[0] + (shares.clamp(0, 1) * known.diff()).sum(-1)
    return radii.unflatten(0, kernels.shape[:2])


@lru_cache(maxsize=1)
def _table() -> tuple[Tensor, Tensor]:
    """Radii up to that of the widest possible disc, and their second moments."""
    radii = torch.arange(8 * _TABLE + 1, dtype=torch.float64) / _TABLE
    return radii, second_moment(_discs(radii))


def second_moment(kernels: Tensor) -> Tensor:
    """``Σ |x|² k(x) / Σ k(x)`` over the last two axes, in square pixels."""
    rows, columns = (
        torch.arange(n, device=kernels.device, dtype=kernels.dtype) - n // 2
        for n in kernels.shape[-2:]
    )
    square = rows[:, None].square() + columns.square()
    return (kernels * square).sum((-2, -1)) / kernels.sum((-2, -1))
