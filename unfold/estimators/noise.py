"""The noise of a photo, from the photo alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .compression import jpeg_noise
from .roles import NoiseEstimator

LEAST_NOISE = 0.003
"""Three quarters of a step of 8 bits: what rounding, optics and files leave in any photo."""

_ENOUGH_PIXELS = 2_000_000
# The noise found by the kernel is believed up to so many times that found in the photo alone, more
# of a JPEG file, which smooths. JPEG's own errors have other frequencies, too: the level given to
# priors is higher.
_MOST, _MOST_OF_JPEG, _AMPLIFIED = 2.0, 4.0, 1.6
# Squares of 5×5 pixels, and how many of them at least and at most.
_SIDE, _FEWEST, _ENOUGH_SQUARES = 5, 1000, 50_000
_MOST_BETWEEN_CHANNELS, _ROUNDS = 2.5, 2


class PhotoNoise(NoiseEstimator):
    """The standard deviation of a photo's noise and of what JPEG did to it, together.

    ``sqrt(estimate_noise² + jpeg_noise²)``: deconvolution amplifies both.

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
        """The noise of an image whose `estimate_noise` is known."""
        return (grain.square() + jpeg_noise(image).square()).sqrt()


def with_beyond(noise: Tensor, grain: Tensor, beyond: Tensor) -> tuple[Tensor, Tensor]:
    """The noise of a photo, found in the photo alone and by the kernel of its blur, as one.

    Args:
        noise: standard deviation found in the photo alone (`PhotoNoise`), ``(B, 1, 1, 1)``.
        grain: that without what JPEG did; smaller than ``noise`` for a JPEG file.
        beyond: the deviation found by the kernel (`noise_beyond`); 0: none was found.

    Returns:
        The deviation that priors are given, and the one that the re-blur test expects. Of a JPEG
        file both are made of the larger of ``noise`` and ``beyond``, the latter at most 4 times
        ``noise``; priors are given 1.6 times that. Of any other photo priors are given the larger,
        ``beyond`` being at most twice ``noise``, and the test expects ``noise``, so that a wrong
        kernel is found out.
    """
    jpeg = (noise > grain * (1 + 1e-6)) & (beyond > 0)
    most = torch.where(jpeg, _MOST_OF_JPEG, _MOST) * noise
    found = torch.maximum(noise, torch.minimum(beyond, most))
    return torch.where(jpeg, _AMPLIFIED * found, found), torch.where(jpeg, found, noise)


def estimate_noise(image: Tensor) -> Tensor:
    """The standard deviation of white noise in each image, ``(B, 1, 1, 1)``; at least 0.003.

    Squares of 5×5 pixels in three channels vary in 75 directions. Photos fill only a part of
    these, for their channels are alike; in the others there is noise alone, and the covariance has
    equal eigenvalues. These are its smallest ones, as many as have their mean not above their
    median. In an image of one channel, and a gray photo in three, texture fills all directions:
    there `laplacian_noise` is taken, and in images of fewer than 1000 squares.

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
    them. For a channel alone the method of `estimate_noise` gives s, which takes texture for noise;
    but texture is common to the channels, so that what a channel has beyond the least is noise:
    their deviations are to each other as ``r = √(1 + (s² − min s²) / σ²)``, at most 2.5. The
    channels divided by these have noise of one deviation, which is σ in a second round.

    Args:
        image: ``(B, C, H, W)``.
        noise: σ of it, `estimate_noise`, ``(B, 1, 1, 1)``.

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
    """Squares of 5×5 pixels, every so many, ``(B, C, 25, n)``, in float64."""
    cut = image.unfold(2, _SIDE, step).unfold(3, _SIDE, step)  # (B, C, h, w, 5, 5)
    return cut.permute(0, 1, 4, 5, 2, 3).reshape(*image.shape[:2], _SIDE**2, -1).double()


def _least(squares: Tensor) -> Tensor:
    """The standard deviation that squares ``(B, C, 25, n)`` have in the directions where they vary
    least, ``(B, 1, 1, 1)``."""
    squares = squares.flatten(1, 2)
    squares = squares - squares.mean(-1, keepdim=True)
    values = torch.linalg.eigvalsh(squares @ squares.mT / squares.shape[-1]).clamp_min(0)
    count = torch.arange(1, values.shape[-1] + 1, device=squares.device)
    means, medians = values.cumsum(-1) / count, values[:, (count - 1) // 2]
    # (A single one is its own median.)
    last = ((means <= medians * (1 + 1e-12)) * count).amax(-1, keepdim=True) - 1
    return means.gather(-1, last).sqrt().view(-1, 1, 1, 1)


def laplacian_noise(image: Tensor) -> Tensor:
    """The standard deviation of white noise in each image, ``(B, 1, 1, 1)``; at least 0.003.

    The median of ``|N ⊗ x|``, N the difference of two Laplacians, which is blind to slopes and
    (being a median) to edges, but takes texture for noise. Source: Immerkær, "Fast noise variance
    estimation", CVIU 1996, with a median in place of its mean. Of a large photo only every n-th
    row is looked at.
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
    """Every n-th row of a large photo: enough to measure what is global."""
    return image[..., :: every(image), :]


def every(image: Tensor) -> int:
    """n, of every n-th row of a large photo."""
    return -(-image.shape[-2] * image.shape[-1] // _ENOUGH_PIXELS)
