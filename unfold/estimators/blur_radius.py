"""Estimation of the blur radius at each pixel of a photo with defocus."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from unfold.core import CG, Affine, Lagrangian, Quadratic, Stage, lower
from unfold.core.expression import Entry
from unfold.imaging.boundary import mirror
from unfold.terms import Retinex
from unfold.terms.gradient import Difference, differences

CELL = 16
"""The distance of the windows, and the side of the cells of the map, in pixels."""

_SIDE, _SECTORS = 32, 6  # side of the windows in pixels; number of directions of a spectrum
_RADII = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0,
          3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0)  # fmt: skip
# The power of a sharp photo is proportional to |f|^-slope; cost of slopes other than 2.
_SLOPES, _SLOPE_COST = (1.6, 2.0, 2.5, 3.0, 3.6), 5.0
_CONTRASTS = tuple(10 ** (0.35 * i) for i in range(-17, 8))
_SOFTNESS = 0.45  # standard deviation of the blur of a photo in focus, in pixels
# Neighboring windows overlap, and the model of a window is approximate: the log-likelihood is
# multiplied by this factor. The prior probability of a radius decreases exponentially.
_TRUST, _COST = 0.9, 1.0
# Smoothness of the map: its weight, the contrast of an edge, the share of the weight at an edge.
_STIFFNESS, _EDGE, _ACROSS = 1.5, 0.05, 0.01
_CHUNK = 4096  # windows that are processed at once


def blur_radius(image: Tensor, noise: Tensor) -> Tensor:
    """The radius of the disc that blurs each pixel, in pixels: 0 in focus, at most 7.

    In a window of 32×32 pixels the power spectrum of a photo is that of a sharp photo times that of
    the disc, plus white noise::

        S(f) = c |f|^-s |F(H_r)(f)|² + σ²

    convolved with the window's spectrum. c is the contrast, one for each of six directions, because
    an edge has power only across itself. s is the slope: 2 for edges, and more for smooth objects,
    which must not be mistaken for blur. The radius is estimated by the likelihood of the window's
    spectrum (exponentially distributed about S), maximized over c and s: large discs are recognized
    by the zeros of their spectrum, small ones by its decay. From the mean and the variance over the
    radii, conjugate gradients compute a map R that is smooth except at edges of the photo::

        min Σ (R − mean)² / variance + α Σ S² |∇R|²

    Here S is small at edges. Windows and the pixels of this map are 16 pixels apart; the result is
    interpolated.

    Args:
        image: ``(B, C, H, W)`` in [0, 1]; only the mean of its channels is used.
        noise: standard deviation of its noise in each channel, ``(1 or B, 1, 1, 1)``.

    Returns:
        ``(B, 1, H, W)``; 0 for a photo smaller than a window.

    Source: Chakrabarti, Zickler and Freeman, "Analyzing spatially-varying blur", CVPR 2010, and
    Zhu, Cohen, Schiller and Milanfar, "Estimating spatially varying defocus blur from a single
    image", IEEE TIP 2013 (the likelihood of a window's spectrum); the slope and the directions are
    ours.

    Example:
        >>> import torch
        >>> from unfold.estimators.blur_radius import blur_radius
        >>> blur_radius(torch.rand(1, 3, 64, 64), torch.full((1, 1, 1, 1), 0.01)).shape
        torch.Size([1, 1, 64, 64])
    """
    return interpolated(blur_radius_of_cells(image, noise), CELL, image)


def blur_radius_of_cells(image: Tensor, noise: Tensor) -> Tensor:
    """The map of `blur_radius` before its interpolation: the radius of each cell of 16×16 pixels,
    ``(B, 1, rows, columns)`` in float32."""
    height, width = image.shape[-2:]
    if min(height, width) < _SIDE:
        return image.new_zeros(len(image), 1, -(-height // CELL), -(-width // CELL)).float()
    with torch.no_grad():
        cells = -(-height // CELL), -(-width // CELL)
        logarithm = _log_likelihood(image, noise, cells)
        radii = torch.tensor(_RADII, device=image.device).view(-1, 1, 1)
        around = avg_pool2d(pad(logarithm, (1, 1, 1, 1), mode="replicate"), 3, 1)
        share = (_TRUST * around - _COST * radii).softmax(1)
        mean = (share * radii).sum(1, keepdim=True)
        variance = (share * (radii - mean).square()).sum(1, keepdim=True) + 0.02
        x = image.float()
        guide = avg_pool2d(_extended(x, 0, cells, CELL), CELL)
        return _smoothed(mean, variance, guide).clamp_min(0)


def interpolated(cells: Tensor, cell: int, image: Tensor) -> Tensor:
    """A map of an image at each pixel, from its cells of ``cell × cell`` pixels."""
    height, width = image.shape[-2:]
    pixels = interpolate(cells, scale_factor=cell, mode="bilinear", align_corners=False)
    return pixels[..., :height, :width].to(image.dtype)


def _log_likelihood(image: Tensor, noise: Tensor, cells: tuple[int, int]) -> Tensor:
    """The log-likelihood of each radius in each window, ``(B, radii, rows, columns)``."""
    batch, channels = image.shape[:2]
    margin = (_SIDE - CELL) // 2
    gray = _extended(image.float().mean(1, keepdim=True), margin, cells, CELL)
    windows = gray.unfold(2, _SIDE, CELL).unfold(3, _SIDE, CELL)[:, 0]
    variance = noise.float().square().expand(batch, 1, 1, 1) / channels
    spectra = _spectra(image.device)
    photos = []
    for photo, least in zip(windows, variance, strict=True):
        parts = photo.reshape(-1, _SIDE, _SIDE).split(_CHUNK)
        photos.append(torch.cat([_of_windows(part, least, spectra) for part in parts]))
    return torch.stack(photos).mT.reshape(batch, len(_RADII), *cells)


def _of_windows(windows: Tensor, variance: Tensor, spectra: _Spectra) -> Tensor:
    """The log-likelihood of each radius, ``(windows, radii)``."""
    taper = spectra.taper
    centered = windows - (windows * taper.square()).sum((-2, -1), keepdim=True)
    power = torch.fft.rfft2(centered * taper).abs().square().flatten(1)
    best = None
    for sharp, slope in zip(spectra.models, _SLOPES, strict=True):
        total = -_SLOPE_COST * (slope - 2) ** 2
        for sector in spectra.sectors:
            expected = spectra.contrasts * sharp[:, None, sector] + variance[..., 0]
            fit = power[:, sector] @ expected.reciprocal().flatten(0, 1).mT
            fit = fit.unflatten(1, expected.shape[:2]) + expected.log().sum(-1)
            total = total - fit.amin(-1)
        best = total if best is None else torch.maximum(best, total)  # type: ignore[type-var]
    return best  # type: ignore[return-value]


class _Spectra(NamedTuple):
    taper: Tensor  # the window, of energy 1
    models: Tensor  # power of a window: (slopes, radii, frequencies)
    contrasts: Tensor  # (contrasts, 1)
    sectors: tuple[Tensor, ...]  # the frequencies of each direction


@lru_cache(maxsize=4)
def _spectra(device: torch.device) -> _Spectra:
    axis = torch.sin(math.pi * (torch.arange(_SIDE) + 0.5) / _SIDE).square()
    taper = axis[:, None] * axis
    taper = taper / taper.square().sum().sqrt()
    models = torch.stack([torch.stack([_expected(r, s, taper) for r in _RADII]) for s in _SLOPES])
    models = models / models[:, :1, 1:2]  # the contrast is the power of a sharp lowest frequency
    y, x = torch.fft.fftfreq(_SIDE)[:, None], torch.fft.rfftfreq(_SIDE)
    radius, direction = (y.square() + x.square()).sqrt(), torch.atan2(y, x) % math.pi
    known = (radius >= 1.9 / _SIDE) & (radius <= 0.5) & ((x > 0) | (y > 0))
    of = (direction / math.pi * _SECTORS + 0.5).floor() % _SECTORS
    sectors = tuple(
        ((of == i) & known).flatten().nonzero()[:, 0].to(device) for i in range(_SECTORS)
    )
    contrasts = torch.tensor(_CONTRASTS)[:, None]
    return _Spectra(taper.to(device), models.to(device), contrasts.to(device), sectors)


def _expected(radius: float, slope: float, taper: Tensor) -> Tensor:
    """The expected power spectrum of a window: the photo's, convolved with the window's."""
    times = 4
    fine = _SIDE * times
    f = torch.fft.fftfreq(fine, dtype=torch.float64)
    square = f[:, None].square() + f.square()
    sharp = (square + (0.5 / _SIDE) ** 2) ** (-slope / 2)
    blur = _disc(2 * math.pi * radius * square.sqrt()) * torch.exp(
        -2 * (math.pi * _SOFTNESS) ** 2 * square
    )
    correlation = torch.fft.ifft2(sharp * blur.square()).real
    overlap = torch.fft.ifft2(torch.fft.fft2(taper.double(), s=(fine, fine)).abs().square()).real
    power = torch.fft.fft2(correlation * overlap).real[::times, ::times]
    return power[:, : _SIDE // 2 + 1].clamp_min(1e-12).flatten().float()


def _disc(x: Tensor) -> Tensor:
    """The transfer function of a disc, ``2 J1(x) / x``."""
    return torch.where(x > 1e-6, 2 * torch.special.bessel_j1(x) / x.clamp_min(1e-6), 1.0)


def _extended(x: Tensor, margin: int, cells: tuple[int, int], step: int) -> Tensor:
    """Extended by a mirrored margin, and at the lower right to whole cells."""
    for axis, count in zip((-2, -1), cells, strict=True):
        index = torch.arange(-margin, count * step + margin, device=x.device)
        x = x.index_select(axis, mirror(index, x.shape[axis]))
    return x


def smoothing() -> Stage:
    """``min ½‖D − R⊙P‖² + α/2 ‖S⊙∇R‖²``: R is close to D / P where P is large, and smooth where S
    is large."""
    lagrangian = Lagrangian(
        Quadratic(Retinex("D", reflectance="R", illumination="P")),
        Quadratic(Affine(Entry("S", "data") * Difference(Entry("R"))), "α"),
    )
    return Stage(lower(lagrangian, ("R",), CG(maximum=80, tolerance=None)), {"α": _STIFFNESS})


def _smoothed(mean: Tensor, variance: Tensor, guide: Tensor) -> Tensor:
    right, down = differences(guide).square().chunk(2, 1)
    edges = torch.cat((right.sum(1, keepdim=True), down.sum(1, keepdim=True)), 1)
    smooth = (torch.exp(-edges / (2 * _EDGE**2)) + _ACROSS).sqrt()
    smooth[:, 0, :, -1] = 0  # (opposite sides of a photo are not neighbors)
    smooth[:, 1, -1] = 0
    precision = variance.rsqrt()
    state = {"D": mean * precision, "R": mean, "P": precision, "S": smooth}
    return smoothing()(state)["R"]
