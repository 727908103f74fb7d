"""The correlation of the estimated kernel with the true one, regardless of its position."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import pad

from .base import TRUE_KERNEL, Loss, LossError, Outcome


class KernelCorrelation(Loss):
    """One minus the largest correlation of the estimated kernel and the true one over all shifts::

        mean_b Σ_m w_m (1 − max_s ⟨k̂_m, T_s k⟩ / (‖k̂_m‖ ‖k‖))

    A kernel and its image are determined only up to opposite shifts: ``T_s`` shifts by ``s``, and
    the best shift is used. The loss is therefore 0 for a shifted copy, and positive for any other
    nonnegative kernel of sum 1 (Cauchy-Schwarz). Kernels of different sizes are zero-padded. Each
    of M kernels is compared with the true one and weighted by ``w_m``, the mean of its map.

    The restoration's parts are ``kernel``, ``(1 or B, M, h, w)``, and, if M > 1, ``maps``,
    ``(B, M, H, W)``. The data have ``true-kernel``, ``(B, 1, h', w')`` (synthesized data with
    ``kernel`` and ``kernel_known = false``). It is computed in float32 or float64.

    Args:
        subpixel: number of shifts per pixel along each axis. Above 1, the correlation is
            interpolated by its Fourier series.

    Source: the measure of Hu and Yang, "Good regions to deblur", ECCV 2012 (kernel similarity).

    Example:
        >>> import torch
        >>> from unfold import Restoration
        >>> from unfold.losses import KernelCorrelation, Outcome
        >>> true, shifted = torch.zeros(1, 1, 5, 5), torch.zeros(1, 1, 5, 5)
        >>> true[..., 2, 1:4], shifted[..., 3, 2:5] = 1 / 3, 1 / 3
        >>> restoration = Restoration(torch.rand(1, 3, 8, 8), {"kernel": shifted})
        >>> loss = KernelCorrelation()(Outcome(restoration, {"true-kernel": true}))
        >>> round(loss.item(), 4)
        0.0
    """

    def __init__(self, *, subpixel: Annotated[int, Field(ge=1, le=16)] = 1) -> None:
        super().__init__()
        self.subpixel = subpixel

    def forward(self, outcome: Outcome) -> Tensor:
        estimated = outcome.made("kernel")
        if TRUE_KERNEL not in outcome.batch:
            raise LossError(
                "kernel: the data have no true kernel; set data.kernel_size to its side in "
                "pixels and data.kernel_known to false"
            )
        true = outcome.batch[TRUE_KERNEL]
        unknown = true.isnan().flatten(1).any(1)[:, None]  # (of photos that were not synthesized)
        errors = 1 - largest_correlation(estimated, true.nan_to_num(1.0), self.subpixel)
        errors = errors.masked_fill(unknown, 0)
        return (errors.clamp_min(0) * _shares(outcome, estimated.shape[1])).sum(1).mean()


def largest_correlation(one: Tensor, other: Tensor, subpixel: int = 1) -> Tensor:
    """``max_s ⟨a, T_s b⟩ / (‖a‖ ‖b‖)`` of each pair of kernels, ``(B, M)``.

    Args:
        one, other: kernels ``(1 or B, 1 or M, h, w)``, of any sizes.
        subpixel: number of shifts per pixel.
    """
    one, other = (k if k.dtype == torch.float64 else k.float() for k in (one, other))
    # Room for every overlap; odd sides have no Nyquist frequency, whose sign is ambiguous.
    size = [(a + b - 1) | 1 for a, b in zip(one.shape[-2:], other.shape[-2:], strict=True)]
    spectrum = torch.fft.fft2(one, s=size) * torch.fft.fft2(other, s=size).conj()
    correlation = torch.fft.ifft2(_finer(spectrum, subpixel)).real * subpixel**2
    norms = torch.linalg.vector_norm(one, dim=(-2, -1)) * torch.linalg.vector_norm(
        other, dim=(-2, -1)
    )
    return correlation.amax((-2, -1)) / norms.clamp_min(1e-12)


def _finer(spectrum: Tensor, factor: int) -> Tensor:
    """The spectrum of the same Fourier series, with finer samples by a factor."""
    margins: list[int] = []
    for n in reversed(spectrum.shape[-2:]):
        before = factor * n // 2 - n // 2  # the zero frequency stays in the middle
        margins += [before, (factor - 1) * n - before]
    centered = torch.fft.fftshift(spectrum, (-2, -1))
    return torch.fft.ifftshift(pad(centered, margins), (-2, -1))


def _shares(outcome: Outcome, num_kernels: int) -> Tensor | float:
    """The mean of the map of each kernel, ``(B, M)``."""
    if num_kernels == 1:
        return 1.0
    return outcome.made("maps").mean((-2, -1))
