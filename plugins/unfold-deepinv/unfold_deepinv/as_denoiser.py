"""A prior of unfold as a denoiser of DeepInverse."""

from __future__ import annotations

import torch
from deepinv.models.base import Denoiser
from torch import Tensor

from unfold.core import Prior


class UnfoldDenoiser(Denoiser):
    """Any prior of unfold as a `deepinv.models.Denoiser`.

    ``denoiser(x, sigma) = prior(x, prior.step_for(sigma²))``: this step removes white noise of
    standard deviation ``sigma`` from a photo in [0, 1]. For a learned prior it is ``sigma²``, for
    total variation about half of ``sigma``. (DeepInverse's ``TVDenoiser`` and ``WaveletDenoiser``
    have the step itself as an argument, ``ths``; the equivalent is ``prior.prox(x, step)``.)

    Args:
        prior: a prior for the number of channels of the images; a submodule of the denoiser.

    Example::

        >>> import torch
        >>> from unfold.priors.denoiser import Denoiser
        >>> from unfold_deepinv import UnfoldDenoiser
        >>> UnfoldDenoiser(Denoiser())(torch.rand(2, 3, 32, 32), 0.1).shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, x: Tensor, sigma: float | Tensor, **kwargs: object) -> Tensor:
        """Remove noise.

        Args:
            x: ``(B, C, H, W)``, noisy photos in [0, 1].
            sigma: standard deviation of the noise: a number; a tensor with one element, or one for
                each image; or a map ``(B or 1, C or 1, H, W)``, if the prior accepts maps.
            kwargs: ignored. (Algorithms pass additional arguments.)

        Raises:
            InputError: if the prior refuses its input.
        """
        sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
        if sigma.ndim != 4 or sigma.shape[1:].numel() == 1:
            sigma = sigma.reshape(-1, 1, 1, 1)
        return self.prior(x, self.prior.step_for(sigma**2))
