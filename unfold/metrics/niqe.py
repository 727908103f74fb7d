"""Natural image quality evaluator."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from unfold.errors import InputError

from .base import Metric, MetricError
from .pixels import luma
from .weights import find_weights

_URL = (
    "https://raw.githubusercontent.com/XPixelGroup/BasicSR/master/basicsr/metrics/"
    "niqe_pris_params.npz"
)
_BLOCK = 96
_FEATURES = 36


class NIQE(Metric):
    """Natural image quality evaluator: the distance of a photo's statistics from those of pristine
    photos.

    ``sqrt((μ − μ₀)ᵀ ((Σ + Σ₀) / 2)⁺ (μ − μ₀))``; lower is more natural. μ and Σ are the mean and
    covariance of 36 features over the photo's 96×96 blocks (incomplete blocks at the right and
    bottom are ignored); μ₀ and Σ₀ are those of pristine photos, published by the authors.
    The features are AGGD fits of the luminance (0.299 R + 0.587 G + 0.114 B, rounded to 8 bits),
    minus its local mean and divided by its local deviation, and of products of neighbors, at full
    and half size.

    Args:
        weights: an ``.npz`` file with ``mu_pris_param`` (36) and ``cov_pris_param`` (36, 36),
            such as BasicSR's ``niqe_pris_params.npz``. By default, the file in torch.hub's cache.

    Raises:
        MetricError: if the file is missing or has other contents.
        InputError: if fewer than two blocks are not flat.

    Source: Mittal, Soundararajan, Bovik, "Making a 'completely blind' image quality analyzer",
    IEEE SPL 2013, eqs. 1-10.

    Example:
        >>> from unfold.metrics import NIQE
        >>> NIQE(weights="niqe_pris_params.npz")  # no such file; it is never downloaded
        Traceback (most recent call last):
            ...
        unfold.metrics.base.MetricError: NIQE: there is no file niqe_pris_params.npz; get ...
    """

    better = "lower"
    needs_reference = False

    def __init__(self, *, weights: Path | None = None) -> None:
        super().__init__()
        self._mean, self._covariance = _read(find_weights("NIQE", _URL, weights))

    def measure(self, image: Tensor, reference: Tensor | None) -> Tensor:
        height, width = image.shape[-2:]
        if (height // _BLOCK) * (width // _BLOCK) < 2:
            raise InputError(
                f"NIQE needs two blocks of {_BLOCK}×{_BLOCK} pixels, got {width}×{height} pixels; "
                "leave it out for such pictures"
            )
        return torch.stack([self._distance(f) for f in features(_levels(image))])

    def _distance(self, samples: Tensor) -> Tensor:
        """The distance of one photo's features, ``(blocks, 36)``, from those of pristine photos."""
        textured = samples[~samples.isnan().any(1)]
        if len(textured) < 2:
            raise InputError("NIQE needs two blocks that are not flat; leave it out for this one")
        mean, covariance = self._mean.to(samples), self._covariance.to(samples)
        # Flat blocks count for the mean as far as they have features, as in the released code.
        away = samples.nanmean(0) - mean
        pooled = (covariance + torch.cov(textured.T)) / 2
        return (away @ torch.linalg.pinv(pooled) @ away).sqrt()


def _levels(image: Tensor) -> Tensor:
    """Luminance in whole steps of 8 bits, float64."""
    y = 255 * luma(image.double())
    # Halves are common, and what float32 made of them must not decide how they are rounded.
    return torch.floor(y.round(decimals=3) + 0.5).clamp(0, 255)


def features(levels: Tensor) -> Tensor:
    """The 36 features of each block, ``(B, 1, H, W)`` in 0 to 255 to ``(B, blocks, 36)``."""
    rows, columns = levels.shape[-2] // _BLOCK, levels.shape[-1] // _BLOCK
    levels = levels[..., : rows * _BLOCK, : columns * _BLOCK]
    fine = _block_features(normalize(levels), _BLOCK)
    coarse = _block_features(normalize(halve(levels)), _BLOCK // 2)
    return torch.cat((fine, coarse), -1)


def normalize(levels: Tensor) -> Tensor:
    """``(x − μ) / (σ + 1)``, with the mean and deviation under a 7×7 Gaussian of σ = 7/6."""
    from kornia.filters import gaussian_blur2d

    mean, mean_square = (
        gaussian_blur2d(x, 7, (7 / 6, 7 / 6), "replicate") for x in (levels, levels * levels)
    )
    return (levels - mean) / ((mean_square - mean * mean).abs().sqrt() + 1)


def halve(levels: Tensor) -> Tensor:
    """Half the size by antialiased bicubic interpolation, like MATLAB's ``imresize``.

    The cubic kernel (a = −1/2) is stretched to twice its width; borders are mirrored. Sides are
    even.
    """
    # Not kornia's resize: its low-pass is a Gaussian, MATLAB's is the stretched cubic kernel.
    distance = (torch.arange(8, dtype=levels.dtype, device=levels.device) - 3.5).abs() / 2
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    taps = torch.where(distance <= 1, near, far)
    taps = taps / taps.sum()
    for axis in (-2, -1):
        length = levels.shape[axis]
        first, last = levels.narrow(axis, 0, 3), levels.narrow(axis, length - 3, 3)
        mirrored = torch.cat((first.flip(axis), levels, last.flip(axis)), axis)
        shape, stride = ((1, 1, 8, 1), (2, 1)) if axis == -2 else ((1, 1, 1, 8), (1, 2))
        levels = conv2d(mirrored, taps.view(shape), stride=stride)
    return levels


def _block_features(normalized: Tensor, side: int) -> Tensor:
    """18 features of each block: the fit of its values and of the products with four neighbors."""
    blocks = normalized[:, 0].unfold(1, side, side).unfold(2, side, side).flatten(1, 2)
    fit = fit_aggd(blocks.flatten(-2))
    columns = [fit.alpha, (fit.left + fit.right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        neighbors = torch.roll(blocks, shift, (-2, -1))  # around the block's own edges
        fit = fit_aggd((blocks * neighbors).flatten(-2))
        columns += [fit.alpha, fit.mean, fit.left, fit.right]
    return torch.stack(columns, -1)


def _read(path: str | os.PathLike[str]) -> tuple[Tensor, Tensor]:
    try:
        with np.load(path, allow_pickle=False) as file:
            mean = torch.from_numpy(file["mu_pris_param"].astype(np.float64)).flatten()
            covariance = torch.from_numpy(file["cov_pris_param"].astype(np.float64))
    except (OSError, ValueError, KeyError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise MetricError(
            f"NIQE: {path} is no .npz file with mu_pris_param and cov_pris_param; get it from "
            f"{_URL}"
        ) from error
    if mean.shape != (_FEATURES,) or covariance.shape != (_FEATURES, _FEATURES):
        raise MetricError(
            f"NIQE: {path} is not for {_FEATURES} features: mean {tuple(mean.shape)}, covariance "
            f"{tuple(covariance.shape)}; get it from {_URL}"
        )
    return mean, covariance


class AGGD(NamedTuple):
    """Shape ``alpha``, and the scales ``left`` and ``right`` of zero (``β_l``, ``β_r``).

    The density at x is proportional to ``exp(−(|x| / β)^α)``, with β_l for negative x and β_r
    for others.
    """

    alpha: Tensor
    left: Tensor
    right: Tensor

    @property
    def mean(self) -> Tensor:
        """``(β_r − β_l) Γ(2/α) / Γ(1/α)``."""
        inverse = 1 / self.alpha
        return (self.right - self.left) * (torch.lgamma(2 * inverse) - torch.lgamma(inverse)).exp()


def fit_aggd(samples: Tensor) -> AGGD:
    """Match moments: ``(..., n)`` samples to ``(...)`` parameters, NaN where a side is empty.

    With ``γ = σ_l / σ_r`` the deviations of the two sides, α solves ``Γ(2/α)² / (Γ(1/α) Γ(3/α)) =
    (mean |x|)² / mean x² · (γ³ + 1)(γ + 1) / (γ² + 1)²``, to the nearest of 0.2, 0.201, ..., 10, as
    the released implementations do.

    Source: Lasmar, Stitou, Berthoumieu, "Multiscale skewed heavy tailed model for texture
    analysis", ICIP 2009.
    """
    left = _deviation(samples, samples < 0)
    right = _deviation(samples, samples > 0)
    ratio = left / right
    moments = samples.abs().mean(-1).square() / samples.square().mean(-1)
    target = moments * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1).square()
    grid = torch.arange(200, 10_001, dtype=samples.dtype, device=samples.device) / 1000
    inverse = 1 / grid
    levels = torch.exp(
        2 * torch.lgamma(2 * inverse) - torch.lgamma(inverse) - torch.lgamma(3 * inverse)
    )
    above = torch.searchsorted(levels, target.contiguous()).clamp(1, len(grid) - 1)
    closer_below = target - levels[above - 1] <= levels[above] - target
    alpha = grid[above - closer_below.long()]
    alpha = torch.where(target.isnan(), target, alpha)
    scale = torch.exp((torch.lgamma(1 / alpha) - torch.lgamma(3 / alpha)) / 2)
    return AGGD(alpha, left * scale, right * scale)


def _deviation(samples: Tensor, side: Tensor) -> Tensor:
    """The root of the mean square of the samples on one side of zero."""
    return ((samples * side).square().sum(-1) / side.sum(-1)).sqrt()
