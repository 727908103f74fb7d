"""The Poisson likelihood of an image, given its counts."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unfold.core.prior import Prior
from unfold.errors import InputTypeError


class Poisson(Prior):
    """``g(u) = Σ u − y log u``: the negative log-likelihood of counts y with Poisson noise.

    Update, pixel by pixel::

        prox(v) = (v − s + √((v − s)² + 4 s y)) / 2,   s the step

    It reads y from the state: put it on a block that a constraint ties to the blurred image.

    Args:
        observed: name of the entry of the counts y, ``(B, C, H, W)``, nonnegative.

    Source: Figueiredo and Bioucas-Dias, "Restoration of Poissonian images using alternating
    direction optimization" (PIDAL), IEEE Transactions on Image Processing 2010, eq. 27.
    """

    convex = True
    exact = True

    def __init__(self, observed: str) -> None:
        super().__init__()
        self.observed, self.reads = observed, (observed,)

    def at(self, state: Mapping[str, Tensor]) -> Prior:
        return _OfCounts(state[self.observed])

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        raise InputTypeError(
            f"Poisson reads the counts {self.observed!r} from the state: use Poisson.at(state).prox"
        )


class _OfCounts(Prior):
    convex = True
    exact = True

    def __init__(self, counts: Tensor) -> None:
        super().__init__()
        self.counts = counts

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        shifted = v - step
        return (shifted + (shifted.square() + 4 * step * self.counts).sqrt()) / 2

    def value(self, x: Tensor) -> Tensor:
        return (x - torch.xlogy(self.counts, x)).sum((1, 2, 3))
