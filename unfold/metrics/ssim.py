"""Structural similarity."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from unfold.errors import InputError

from .base import Metric

_SIZES = {"gaussian": 11, "uniform": 7}


class SSIM(Metric):
    """Structural similarity of local brightness, contrast and structure, at most 1.

    It is the mean over pixels and channels of

        (2 μx μy + C₁) (2 σxy + C₂) / ((μx² + μy² + C₁) (σx² + σy² + C₂)),

    with ``C₁ = 0.01²``, ``C₂ = 0.03²`` for values in [0, 1]. Means and covariances are weighted by
    a window around each pixel; pixels whose window is not completely inside the photo are left out.
    The value of identical photos is 1. It is computed in float64.

    The papers use two settings, which are equal to scikit-image's: Gaussian 11×11 with σ = 1.5 and
    population covariance (that of the SSIM paper, the default), and uniform 7×7 with
    ``sample_covariance`` (scikit-image's own default).

    Args:
        window: weights of a pixel's neighbors.
        size: side of the window, odd; by default 11 for Gaussian and 7 for uniform weights.
        sigma: standard deviation of the Gaussian, pixels.
        sample_covariance: whether to divide by ``n − 1`` instead of ``n = size²``.

    Raises:
        InputError: if a photo is smaller than the window.

    Source: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to
    structural similarity", IEEE TIP 2004, eq. 13.

    Example:
        >>> import torch
        >>> from unfold.metrics import SSIM
        >>> photo = torch.rand(1, 3, 16, 16)
        >>> round(SSIM()(photo, photo).item(), 6)
        1.0
        >>> bool(SSIM()(1 - photo, photo) < 0)
        True
    """

    better = "higher"

    def __init__(
        self,
        *,
        window: Literal["gaussian", "uniform"] = "gaussian",
        size: Annotated[int, Field(ge=3, le=255)] | None = None,
        sigma: Annotated[float, Field(gt=0, le=100)] = 1.5,
        sample_covariance: bool = False,
    ) -> None:
        from kornia.filters import get_gaussian_kernel1d

        super().__init__()
        size = size or _SIZES[window]
        if size % 2 == 0:
            raise InputError(f"SSIM(size={size}): a window has a pixel in its middle; take an odd")
        self.size = size
        self._correction = size**2 / (size**2 - 1) if sample_covariance else 1.0
        self._weights = (
            get_gaussian_kernel1d(size, float(sigma), dtype=torch.float64)
            if window == "gaussian"
            else torch.full((1, size), 1 / size, dtype=torch.float64)
        )

    @staticmethod
    def option_errors(spec: Any) -> list[tuple[tuple[str], str]]:
        """The error of an even window, which has no center."""
        even = spec.size is not None and spec.size % 2 == 0
        return [(("size",), "must be odd: a window has a pixel in its middle")] if even else []

    def measure(self, image: Tensor, reference: Tensor | None) -> Tensor:
        assert reference is not None
        height, width = image.shape[-2:]
        if min(height, width) < self.size:
            raise InputError(
                f"SSIM: the picture is {width}×{height} pixels, smaller than its "
                f"{self.size}×{self.size} window; leave SSIM out, or give a smaller size"
            )
        x, y = image.double(), reference.double()
        mx, my = self._mean(x), self._mean(y)
        vx = self._correction * (self._mean(x * x) - mx * mx)
        vy = self._correction * (self._mean(y * y) - my * my)
        cov = self._correction * (self._mean(x * y) - mx * my)
        # Not kornia's ssim: it has one window, the Gaussian of σ = 1.5, and no sample covariance.
        c1, c2 = 0.01**2, 0.03**2
        luminance = (2 * mx * my + c1) / (mx * mx + my * my + c1)
        structure = (2 * cov + c2) / (vx + vy + c2)
        return (luminance * structure).mean((1, 2, 3))

    def _mean(self, x: Tensor) -> Tensor:
        """The weighted mean over windows that are completely inside the photo."""
        from kornia.filters import filter2d_separable

        return filter2d_separable(x, self._weights, self._weights, padding="valid")
