"""What a photo has at the frequencies that its kernel suppresses: its noise, where the kernel is
right."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from unfold.core.operators import power_spectrum
from unfold.imaging.boundary import pad_periodic
from unfold.terms.blur import transfer_function

from .defects import is_point

_EPSILON = 0.003  # |F(H)|² below which a frequency counts as lost
_FITS, _FAILS = 3.0, 8.0  # of the expected energy
_FEWER = 0.0005  # the same, where noise is measured: less of the photo itself passes
_ENOUGH = 768  # rows and columns that noise is measured of, at most
# Means are taken of cells of 8×8 pixels, over squares of so many cells.
_CELL, _WINDOW, _SURROUNDINGS = 8, 7, 9


def reblur_share(photo: Tensor, kernel: Tensor, noise: Tensor) -> Tensor:
    """The share, 0 to 1, in which a deconvolution with a kernel can be believed at each pixel.

    A blur by H leaves noise alone at the frequencies that H suppresses. These pass the filter
    ``ε / (|F(H)|² + ε)``, ε = 0.003: it is what a Wiener deconvolution does not explain of the
    photo once it is blurred again. Its energy in a window of 56 pixels, over that of white noise
    of the photo's deviation, is 1 where H is right. Something that moved otherwise, a lamp that is
    clipped and a kernel that is wrong give more: up to 3 the share is 1, from 8 on it is 0. A
    kernel is refuted so, not proved: one that suppresses little is believed, and so is any where
    the photo is smooth.

    Args:
        photo: ``(B, C, H, W)``.
        kernel: ``(1 or B, 1, h, w)``. Of a point, which explains all, the share is 1.
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

    A blur by H leaves noise alone at the frequencies that H suppresses: what passes the filter
    ``ε / (|F(H)|² + ε)``, ε = 0.0005, over what white noise of deviation 1 leaves of itself there;
    the median over windows of 56 pixels, in the middle of a large photo. Noise that JPEG took from
    smooth places, and `estimate_noise` with it, is found so. A kernel that is wrong gives more.
    This is Morozov's discrepancy principle at the frequencies where the restored image has no say.

    Args:
        photo: ``(B, C, H, W)``.
        kernel: ``(1 or B, 1, h, w)``.

    Returns:
        ``(B, 1, 1, 1)``; 0 for a point, which suppresses nothing, and for a photo smaller than 56
        pixels.
    """
    photo = middle(photo)
    if min(photo.shape[-2:]) < _CELL * _WINDOW:
        return photo.new_zeros(len(photo), 1, 1, 1)
    residual, lost = _unexplained(photo, kernel, _FEWER)
    cells = avg_pool2d(residual.square().mean(1, keepdim=True), _CELL)
    energy = avg_pool2d(cells, _WINDOW, 1).flatten(1).median(1).values.view(-1, 1, 1, 1)
    return torch.where(is_point(kernel), 0.0, (energy / lost).sqrt())


def middle(photo: Tensor) -> Tensor:
    """The part of a photo, or all of it, that `noise_beyond` looks at."""
    top, left = (max(0, n - _ENOUGH) // 2 for n in photo.shape[-2:])
    return photo[..., top : top + _ENOUGH, left : left + _ENOUGH]


def _unexplained(photo: Tensor, kernel: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """What a photo has where the kernel suppresses, and the variance there of white noise of
    deviation 1, ``(1 or B, 1, 1, 1)``."""
    x, frame = pad_periodic(photo, (kernel.shape[-2] // 2, kernel.shape[-1] // 2))
    size = x.shape[-2], x.shape[-1]
    lost = epsilon / (power_spectrum(transfer_function(kernel, size)) + epsilon)
    residual = frame.crop(torch.fft.irfft2(torch.fft.rfft2(x) * lost, s=size))
    return residual, lost.square().mean((-3, -2, -1), keepdim=True)


def as_bright_as(photo: Tensor, other: Tensor) -> Tensor:
    """A photo whose means over its surroundings are those of another, ``(B, C, H, W)``."""

    def surroundings(image: Tensor) -> Tensor:
        return _mean(_mean(_cells(image), _SURROUNDINGS), _SURROUNDINGS)

    ratio = surroundings(other) / surroundings(photo).clamp_min(1e-4)
    return photo * _pixels(ratio, photo.shape[-2:])


def _cells(image: Tensor) -> Tensor:
    return avg_pool2d(image, _CELL, ceil_mode=True)


def _pixels(cells: Tensor, size: tuple[int, ...]) -> Tensor:
    """Cells as pixels, bilinearly."""
    image = interpolate(cells, scale_factor=_CELL, mode="bilinear", align_corners=False)
    return image[..., : size[0], : size[1]]


def _mean(cells: Tensor, side: int) -> Tensor:
    """Over squares; at the borders over what there is of them."""
    return avg_pool2d(cells, side, 1, side // 2, count_include_pad=False)
