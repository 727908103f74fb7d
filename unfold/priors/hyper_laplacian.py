"""Powers below one: a model of the heavy-tailed gradients of photos."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from unfold.core.prior import Prior
from unfold.errors import InputError

_NEWTON = 8  # the derivative is in [1/2, 1], so that fewer steps reach the precision of float64


class HyperLaplacian(Prior):
    """``g(x) = Σ |x|^p``, 0 < p < 1; p = 0.5 to 0.8 describes the gradients of photos.

    The prox is zero up to a threshold and jumps there (g is not convex)::

        |v| <= τ = t (2 − p) / (2 − 2p):  0,           t = (2 step (1 − p))^(1 / (2 − p))
        |v| >  τ:  sign(v) x,  x the root in [t, |v|] of  x + step p x^(p−1) = |v|

    by Newton's method from ``|v|``, which converges monotonically, to rounding errors, for any p.

    Args:
        exponent: ``p``.

    Raises:
        InputError: if the exponent is not between 0 and 1.

    Source: Krishnan and Fergus, "Fast image deconvolution using hyper-Laplacian priors", NIPS
    2009; the threshold: Zuo et al., "A generalized iterated shrinkage algorithm for non-convex
    sparse coding", ICCV 2013, eq. 10.

    Example:
        >>> import torch
        >>> from unfold.priors import HyperLaplacian
        >>> v = torch.tensor([0.1, 1.0]).view(1, 1, 1, 2)
        >>> HyperLaplacian(exponent=0.5).prox(v, torch.full((1, 1, 1, 1), 0.1))
        tensor([[[[0.0000, 0.9487]]]])
    """

    exact = True

    def __init__(self, *, exponent: Annotated[float, Field(gt=0, lt=1)] = 2 / 3) -> None:
        super().__init__()
        if not 0 < exponent < 1:
            raise InputError(
                f"HyperLaplacian(exponent={exponent}): must be between 0 and 1; use SoftThreshold "
                "for 1, or L0 for 0"
            )
        self.exponent = exponent

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        p = self.exponent
        step = step.clamp_min(torch.finfo(v.dtype).tiny ** 0.5)
        threshold = (2 * step * (1 - p)) ** (1 / (2 - p)) * ((2 - p) / (2 - 2 * p))
        size = torch.maximum(v.abs(), threshold)  # (unused values get a finite gradient)
        with torch.no_grad():
            x = size
            for _ in range(_NEWTON):
                x = self._newton(x, size, step)
        # One more step, for the gradient of the root by the implicit function theorem.
        root = v.sign() * self._newton(x, size, step)
        return torch.where(v.abs() <= threshold, 0, root)  # (so that NaN stays NaN)

    def _newton(self, x: Tensor, size: Tensor, step: Tensor) -> Tensor:
        p = self.exponent
        pull = step * p * x ** (p - 1)
        return x - (x - size + pull) / (1 + (p - 1) * pull / x)

    def value(self, x: Tensor) -> Tensor:
        return (x.abs() ** self.exponent).sum((1, 2, 3))
