"""Whether a photo was blurred by a kernel, place by place."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from unfold.core.operators import power_spectrum
from unfold.imaging.boundary import pad_periodic
from unfold.terms.blur import transfer_function

_EPSILON = 0.003  # |F(H)|² below which a frequency counts as lost
_WINDOW = 49  # pixels
_FITS, _FAILS = 3.0, 8.0  # of the expected energy
_SURROUNDINGS = 65


def reblur_share(photo: Tensor, kernel: Tensor, noise: Tensor) -> Tensor:
    """The share, 0 to 1, in which a deconvolution with a kernel can be believed at each pixel.

    A blur by H leaves noise alone at the frequencies that H suppresses. These pass the filter
    ``ε / (|F(H)|² + ε)``, ε = 0.003: it is what a Wiener deconvolution does not explain of the
    photo once it is blurred again. Its energy in a window of 49 pixels, over that of white noise
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
    x, frame = pad_periodic(photo, (kernel.shape[-2] // 2, kernel.shape[-1] // 2))
    size = x.shape[-2:]
    power = power_spectrum(transfer_function(kernel, size))
    lost = _EPSILON / (power + _EPSILON)
    residual = frame.crop(torch.fft.irfft2(torch.fft.rfft2(x) * lost, s=size))
    expected = noise.square() * lost.square().mean((-3, -2, -1), keepdim=True)
    energy = _mean(residual.square().mean(1, keepdim=True), _WINDOW) / expected
    share = _mean(((_FAILS - energy) / (_FAILS - _FITS)).clamp(0, 1), _WINDOW)
    point = kernel.count_nonzero((1, 2, 3)).view(-1, 1, 1, 1) == 1
    return torch.where(point, 1.0, share)


def as_bright_as(photo: Tensor, other: Tensor) -> Tensor:
    """A photo whose means over its surroundings are those of another, ``(B, C, H, W)``."""

    def surroundings(image: Tensor) -> Tensor:
        return _mean(_mean(image, _SURROUNDINGS), _SURROUNDINGS)

    return photo * surroundings(other) / surroundings(photo).clamp_min(1e-4)


def _mean(image: Tensor, side: int) -> Tensor:
    """Over squares; at the borders over what there is of them."""
    for window in ((side, 1), (1, side)):
        half = window[0] // 2, window[1] // 2
        image = avg_pool2d(image, window, 1, half, count_include_pad=False)
    return image
