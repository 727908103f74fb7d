"""The noise levels given to priors: between the photo's noise and the largest allowed level."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from unfold.core.clip import clip

LARGEST = 0.25**2
"""The largest variance that a prior is given, in the square of the image's unit."""

BALANCE = 0.23
"""``w = BALANCE σ² / s²`` balances the data and a prior that is given the deviation s (Zhang et
al., "Plug-and-play image restoration with deep denoiser prior", TPAMI 2021, section 4.2)."""

LARGEST_SQUARE = 2.0
"""The largest square of a factor in a product (`unfold.models.assembly.Bound`)."""


def prior_step(
    logarithm: Tensor,
    noise: Tensor,
    step_for: Callable[[Tensor], Tensor],
    largest: float = LARGEST,
) -> Tensor:
    """The step for a prior: that of the variance ``exp(logarithm)``, within bounds.

    Args:
        logarithm: logarithm of a variance, ``(1 or B, 1, 1, 1)``.
        noise: standard deviation of the photo's noise; the step is at least its square.
        step_for: `Prior.step_for` of the prior.
        largest: upper bound of the step.
    """
    least = noise.square().clamp_max(largest)
    most = torch.full_like(least, largest)
    return clip(step_for(clip(logarithm.exp(), least, most)), least, most)


def product_weights(
    step: Tensor, fit: Tensor, ratio: Tensor, channels: int = 1
) -> tuple[Tensor, Tensor]:
    """Weight of a prior on a factor F of a product, and penalty of the constraint on F.

    The normal matrix of F is ``fit · G² + penalty``, G the other factor. The step is ``step`` where
    G is bright, and larger where G is dark, because division by G amplifies the noise in F. It is
    at most `LARGEST`.

    Args:
        step: step where ``G²`` is `LARGEST_SQUARE`; at most half of `LARGEST`.
        fit: weight of the product's quadratic term.
        ratio: smallest ``penalty / fit``.
        channels: number of channels over which G² is summed.
    """
    square = LARGEST_SQUARE * channels
    least = step * square / (LARGEST - step)
    penalty = fit * torch.maximum(ratio, least)
    return step * (square * fit + penalty), penalty


def annealed(first: float, place: float) -> tuple[float, float]:
    """``(a, b)`` such that the log-variance ``a + b log σ`` decreases over the stages.

    The variance is ``first²`` at the first stage, place 0, and σ² at the last, place 1.
    """
    return 2 * (1 - place) * math.log(first), 2 * place


def balanced(variance: tuple[float, float]) -> tuple[float, float]:
    """``(a, b)`` of the logarithm of the penalty ``BALANCE σ² / variance``."""
    return math.log(BALANCE) - variance[0], 2 - variance[1]


def places(stages: int) -> list[float]:
    """The place of each stage, from 0 to 1; that of a single stage is 1."""
    return [k / (stages - 1) for k in range(stages)] if stages > 1 else [1.0]
