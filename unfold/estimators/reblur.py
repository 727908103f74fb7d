"""Analysis of a photo at the frequencies that its kernel suppresses, which contain only noise if
the kernel is correct."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from unfold.core.operators import power_spectrum
from unfold.imaging.boundary import pad_periodic
from unfold.terms.blur import transfer_function

from .defects import is_point

_EPSILON = 0.003  # |F(H)|² below which a frequency is suppressed
_FITS, _FAILS = 3.0, 8.0  # relative to the expected energy
_FEWER = 0.0005  # threshold of |F(H)|² to measure noise; it excludes more of the photo itself
_ENOUGH = 768  # largest number of rows and columns from which noise is measured
# Means are computed from cells of 8×8 pixels, over squares of this many cells.
_CELL, _WINDOW, _SURROUNDINGS = 8, 7, 9


def reblur_share(photo: Tensor, kernel: Tensor, noise: Tensor) -> Tensor:
    """The share, 0 to 1, of a deconvolution with a kernel that is reliable at each pixel.

    A blur by H leaves only noise at the frequencies that H suppresses, which pass the filter
    ``ε / (|F(H)|² + ε)``, ε = 0.003. The filtered photo is its difference from the re-blurred
    Wiener deconvolution. The energy of this difference in a window of 56 pixels, relative to that
    of white noise with the photo's deviation, is 1 if H is correct. It is larger for an object with
    another motion, for a clipped lamp, and for a wrong kernel. The share is 1 up to a ratio of 3
    and 0 from 8 on. The test can only reject a kernel: it accepts kernels that suppress few
    frequencies, and any kernel where the photo is smooth.

    Args:
        photo: ``(B, C, H, W)``.
        kernel: ``(1 or B, 1, h, w)``. The share of a point is 1.
        noise: standard deviation, ``(1 or B, 1, 1, 1)``.

    Returns:
        ``(B, 1, H, W)``, smooth.
    """
    residual, lost = _unexplained(photo, kernel, _EPSILON)
    expected = noise.square() * lost
    energy = _mean(_cells(residual.square().mean(1, keepdim=True)), _WINDOW) / expected
    share = _mean(((_FAILS - energy) / (_FAILS - _FITS)).clamp(0, 1), _WINDOW)
    share = _pixels(share, photo.shape[-2:])
    return torch.where(is_point(kernel), 1.0, share)


def noise_beyond(photo: Tensor, kernel: Tensor) -> Tensor:
    """The standard deviation of a photo's noise, estimated with the kernel of its blur.

    A blur by H leaves only noise at the frequencies that H suppresses. The estimate is the energy
    of the photo after the filter ``ε / (|F(H)|² + ε)``, ε = 0.0005, relative to that of white noise
    of deviation 1; the median over windows of 56 pixels, in the middle of a large photo. It also
    finds noise that JPEG removed from smooth regions, which `estimate_noise` misses. A wrong
    kernel gives a larger value. This is Morozov's discrepancy principle at the frequencies at which
    the restored image has no influence.

    Args:
        photo: ``(B, C, H, W)``.
        kernel: ``(1 or B, 1, h, w)``.

    Returns:
        ``(B, 1, 1, 1)``; 0 for a point, which suppresses no frequency, and for a photo smaller than
        56 pixels.
    """
    photo = middle(photo)
    if min(photo.shape[-2:]) < _CELL * _WINDOW:
        return photo.new_zeros(len(photo), 1, 1, 1)
    residual, lost = _unexplained(photo, kernel, _FEWER)
    cells = avg_pool2d(residual.square().mean(1, keepdim=True), _CELL)
    energy = avg_pool2d(cells, _WINDOW, 1).flatten(1).median(1).values.view(-1, 1, 1, 1)
    return torch.where(is_point(kernel), 0.0, (energy / lost).sqrt())


def middle(photo: Tensor) -> Tensor:
    """The part of a photo that `noise_beyond` uses."""
    top, left = (max(0, n - _ENOUGH) // 2 for n in photo.shape[-2:])
    return photo[..., top : top + _ENOUGH, left : left + _ENOUGH]


def _unexplained(photo: Tensor, kernel: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """The photo at the frequencies that the kernel suppresses, and the variance of white noise of
    deviation 1 at these frequencies, ``(1 or B, 1, 1, 1)``."""
    x, frame = pad_periodic(photo, (kernel.shape[-2] // 2, kernel.shape[-1] // 2))
    size = x.shape[-2], x.shape[-1]
    lost = epsilon / (power_spectrum(transfer_function(kernel, size)) + epsilon)
    residual = frame.crop(torch.fft.irfft2(torch.fft.rfft2(x) * lost, s=size))
    return residual, lost.square().mean((-3, -2, -1), keepdim=True)


def as_bright_as(photo: Tensor, other: Tensor) -> Tensor:
    """A photo scaled so that its local means are those of another, ``(B, C, H, W)``."""

    def surroundings(image: Tensor) -> Tensor:
        return _mean(_mean(_cells(image), _SURROUNDINGS), _SURROUNDINGS)

    ratio = surroundings(other) / surroundings(photo).clamp_min(1e-4)
    return photo * _pixels(ratio, photo.shape[-2:])


def _cells(image: Tensor) -> Tensor:
    return avg_pool2d(image, _CELL, ceil_mode=True)


def _pixels(cells: Tensor, size: tuple[int, ...]) -> Tensor:
    """Cells interpolated to pixels, bilinearly."""
    image = interpolate(cells, scale_factor=_CELL, mode="bilinear", align_corners=False)
    return image[..., : size[0], : size[1]]


def _mean(cells: Tensor, side: int) -> Tensor:
    """Means over squares; at the borders, over the part within the photo."""
    return avg_pool2d(cells, side, 1, side // 2, count_include_pad=False)
