"""Estimation of the noise of a photo."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .compression import jpeg_noise
from .roles import NoiseEstimator

LEAST_NOISE = 0.003
"""Three quarters of an 8-bit step: rounding, optics and files cause this noise in any photo."""

_ENOUGH_PIXELS = 2_000_000
# Upper bounds of the noise found with the kernel, relative to that found in the photo alone; the
# second is for JPEG files, whose noise is smoothed. JPEG's own errors have other frequencies, so
# that priors are given a higher level.
_MOST, _MOST_OF_JPEG, _AMPLIFIED = 2.0, 4.0, 1.6
# Side of the squares in pixels; their smallest and largest number.
_SIDE, _FEWEST, _ENOUGH_SQUARES = 5, 1000, 50_000
_MOST_BETWEEN_CHANNELS, _ROUNDS = 2.5, 2


class PhotoNoise(NoiseEstimator):
    """Estimates the standard deviation of a photo's noise, including the errors of JPEG.

    It is ``sqrt(estimate_noise² + jpeg_noise²)``, because deconvolution amplifies both.

    Example:
        >>> import torch
        >>> from unfold.estimators import PhotoNoise
        >>> noise = 0.1 * torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
        >>> round(PhotoNoise()(0.5 + noise).item(), 2)
        0.1
    """

    def forward(self, image: Tensor) -> Tensor:
        return self.with_jpeg(estimate_noise(image), image)

    def with_jpeg(self, grain: Tensor, image: Tensor) -> Tensor:
        """The noise of an image, given its `estimate_noise`."""
        return (grain.square() + jpeg_noise(image).square()).sqrt()


def with_beyond(noise: Tensor, grain: Tensor, beyond: Tensor) -> tuple[Tensor, Tensor]:
    """Combine the noise found in a photo alone and the noise found with the kernel of its blur.

    Args:
        noise: standard deviation found in the photo alone (`PhotoNoise`), ``(B, 1, 1, 1)``.
        grain: the same without the errors of JPEG; smaller than ``noise`` for a JPEG file.
        beyond: standard deviation found with the kernel (`noise_beyond`); 0: none was found.

    Returns:
        The deviation for priors, and the deviation that the re-blur test expects. For a JPEG file,
        both follow from the larger of ``noise`` and ``beyond`` (limited to 4 times ``noise``), and
        priors are given 1.6 times this value. For other photos, priors are given the larger of
        ``noise`` and ``beyond`` (limited to twice ``noise``), and the test expects ``noise``, so
        that it detects a wrong kernel.
    """
    jpeg = (noise > grain * (1 + 1e-6)) & (beyond > 0)
    most = torch.where(jpeg, _MOST_OF_JPEG, _MOST) * noise
    found = torch.maximum(noise, torch.minimum(beyond, most))
    return torch.where(jpeg, _AMPLIFIED * found, found), torch.where(jpeg, found, noise)


def estimate_noise(image: Tensor) -> Tensor:
    """The standard deviation of white noise in each image, ``(B, 1, 1, 1)``; at least 0.003.

    Squares of 5×5 pixels in three channels are vectors of 75 components. The channels of photos are
    similar, so photos vary in a part of these dimensions only. The others contain only noise, and
    the covariance has equal eigenvalues there. These are its smallest eigenvalues: as many as
    possible such that their mean does not exceed their median. In an image of one channel, and in a
    gray photo in three channels, texture fills all dimensions: for them, and for images with fewer
    than 1000 squares, `laplacian_noise` is used.

    Source: Chen, Zhu and Heng, "An efficient statistical method for image noise level estimation",
    ICCV 2015, with the channels in one square.

    Example::

        >>> import torch
        >>> from unfold.estimators import estimate_noise
        >>> estimate_noise(0.5 + 0.1 * torch.randn(1, 3, 256, 256)).round(decimals=2).item()
        0.1...
    """
    height, width = image.shape[-2:]
    squares = max(0, height - _SIDE + 1) * max(0, width - _SIDE + 1)
    if image.shape[1] != 3 or squares < _FEWEST:
        return laplacian_noise(image)
    step = math.ceil(math.sqrt(squares / _ENOUGH_SQUARES))
    found = _least(_squares(image, step)).to(image).clamp_min(LEAST_NOISE)
    gray = (image.amax(1) - image.amin(1)).amax((-2, -1)) < 1e-6
    return torch.where(gray.view(-1, 1, 1, 1), laplacian_noise(image), found)


def channel_noise(image: Tensor, noise: Tensor) -> Tensor:
    """The standard deviation of the noise in each channel, ``(B, C, 1, 1)``.

    White balance multiplies the channels of a camera by different gains, and their noise with
    them. The method of `estimate_noise` for a single channel gives s, which includes texture. But
    texture is common to the channels, so the excess of a channel over the smallest s² is noise. The
    deviations of the channels have the ratios ``r = √(1 + (s² − min s²) / σ²)``, at most 2.5. The
    channels divided by r have equal noise, which is estimated as σ in a second round.

    Args:
        image: ``(B, C, H, W)``.
        noise: σ of the image, from `estimate_noise`, ``(B, 1, 1, 1)``.

    Source: ours; the estimate of Chen et al. (see `estimate_noise`).

    Example:
        >>> import torch
        >>> from unfold.estimators import estimate_noise
        >>> from unfold.estimators.noise import channel_noise
        >>> noise = torch.tensor([0.10, 0.05, 0.08]).view(1, 3, 1, 1)
        >>> image = 0.5 + noise * torch.randn(1, 3, 256, 256)
        >>> found = channel_noise(image, estimate_noise(image))
        >>> bool((found / noise - 1).abs().max() < 0.15)
        True
    """
    height, width = (max(0, n - _SIDE + 1) for n in image.shape[-2:])
    if height * width < _FEWEST:
        return noise.expand(-1, image.shape[1], -1, -1)
    squares = _squares(image, math.ceil(math.sqrt(height * width / _ENOUGH_SQUARES)))
    alone = torch.cat([_least(channel) for channel in squares.split(1, 1)], 1).square().to(image)
    beyond = alone - alone.amin(1, keepdim=True)
    ratio, unlike = torch.ones_like(beyond), beyond.amax(1, keepdim=True) > 0
    for _ in range(_ROUNDS):
        ratio = (1 + beyond / noise.square()).sqrt().clamp_max(_MOST_BETWEEN_CHANNELS)
        noise = torch.where(unlike, _least(squares / ratio).to(image).clamp_min(LEAST_NOISE), noise)
    return ratio * noise


def _squares(image: Tensor, step: int) -> Tensor:
    """Squares of 5×5 pixels at multiples of a step, ``(B, C, 25, n)``, in float64."""
    cut = image.unfold(2, _SIDE, step).unfold(3, _SIDE, step)  # (B, C, h, w, 5, 5)
    return cut.permute(0, 1, 4, 5, 2, 3).reshape(*image.shape[:2], _SIDE**2, -1).double()


def _least(squares: Tensor) -> Tensor:
    """The standard deviation of squares ``(B, C, 25, n)`` in the dimensions in which they vary
    least, ``(B, 1, 1, 1)``."""
    squares = squares.flatten(1, 2)
    squares = squares - squares.mean(-1, keepdim=True)
    values = torch.linalg.eigvalsh(squares @ squares.mT / squares.shape[-1]).clamp_min(0)
    count = torch.arange(1, values.shape[-1] + 1, device=squares.device)
    means, medians = values.cumsum(-1) / count, values[:, (count - 1) // 2]
    # (A single eigenvalue is its own median.)
    last = ((means <= medians * (1 + 1e-12)) * count).amax(-1, keepdim=True) - 1
    return means.gather(-1, last).sqrt().view(-1, 1, 1, 1)


def laplacian_noise(image: Tensor) -> Tensor:
    """The standard deviation of white noise in each image, ``(B, 1, 1, 1)``; at least 0.003.

    It is the median of ``|N ⊗ x|``, N the difference of two Laplacians, which ignores slopes and,
    because of the median, edges; texture counts as noise. Of a large photo only every n-th row is
    used. Source: Immerkær, "Fast noise variance estimation", CVIU 1996, with a median in place of
    the mean.
    """
    if min(image.shape[-2:]) < 3:
        return image.new_full((len(image), 1, 1, 1), LEAST_NOISE)
    # (By differences: a convolution of so few channels would copy a large photo several times.)
    n, end = every(image), image.shape[-2]
    above, at, below = (image[..., i : end - 2 + i : n, :] for i in range(3))
    response = (above - 2 * at + below).diff(n=2, dim=-1)
    sigma = response.abs().flatten(1).median(1).values / (6 * 0.6745)
    return sigma.clamp_min(LEAST_NOISE).view(-1, 1, 1, 1)


def thinned(image: Tensor) -> Tensor:
    """Every n-th row of a large photo, which suffices for global quantities."""
    return image[..., :: every(image), :]


def every(image: Tensor) -> int:
    """The step n of the rows of a large photo in `thinned`."""
    return -(-image.shape[-2] * image.shape[-1] // _ENOUGH_PIXELS)
