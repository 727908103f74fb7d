"""The noise of a photo, from the photo alone."""

from __future__ import annotations

from torch import Tensor

from .roles import NoiseEstimator

LEAST_NOISE = 1e-3
_ENOUGH_PIXELS = 2_000_000


class LaplacianNoise(NoiseEstimator):
    """`estimate_noise` as a part of a model."""

    def forward(self, image: Tensor) -> Tensor:
        return estimate_noise(image)


def estimate_noise(image: Tensor) -> Tensor:
    """The standard deviation of white noise in each image, ``(B, 1, 1, 1)``; at least 0.001.

    The median of ``|N ⊗ x|``, N the difference of two Laplacians, which is blind to slopes and
    (being a median) to edges. Source: Immerkær, "Fast noise variance estimation", CVIU 1996, with
    a median in place of its mean. Of a large photo only every n-th row is looked at.

    Example::

        >>> estimate_noise(0.5 + 0.1 * torch.randn(1, 3, 256, 256)).round(decimals=2).item()
        0.1...
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
