"""The set of kernels: nonnegative, with sum one, within a support."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from unfold.core.prior import Prior
from unfold.errors import InputError


class Simplex(Prior):
    """``g(x) = 0`` for a kernel, otherwise infinite: ``x >= 0``, each channel sums to 1 and is zero
    outside a square support in the middle.

    The prox is the projection onto that set, computed exactly by sorting::

        x = max(v − step μ, 0) on the support,   μ such that Σ x = 1

    If the step is one number for each image, the result does not depend on it.

    Args:
        support: side n of the support in pixels. Its element ``(n // 2, n // 2)`` lies on the
            image's ``(h // 2, w // 2)``, the center of a kernel. None: the whole image.

    Raises:
        InputError: if the support is not positive, or larger than the block.

    Source: Duchi, Shalev-Shwartz, Singer and Chandra, "Efficient projections onto the l1-ball for
    learning in high dimensions", ICML 2008; here with weights.

    Example:
        >>> import torch
        >>> from unfold.priors import Simplex
        >>> v = torch.tensor([0.0, 0.5, 0.9, -0.2]).view(1, 1, 1, 4)
        >>> Simplex().prox(v, torch.ones(1, 1, 1, 1))
        tensor([[[[0.0000, 0.3000, 0.7000, 0.0000]]]])
    """

    convex = True
    exact = True

    def __init__(self, *, support: Annotated[int, Field(ge=1, le=1024)] | None = None) -> None:
        super().__init__()
        if support is not None and support < 1:
            raise InputError(f"Simplex(support={support}): must be at least 1, or None")
        self.support = support

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        rows, columns = self._window(v)
        inside = v[..., rows, columns]
        steps = step.expand_as(v)[..., rows, columns]
        x = torch.zeros_like(v)
        x[..., rows, columns] = _project(inside, steps)
        return x

    def value(self, x: Tensor) -> Tensor:
        rows, columns = self._window(x)
        outside = x.clone()
        outside[..., rows, columns] = 0
        rounding = torch.finfo(x.dtype).eps ** 0.5
        off = ((x.sum((-2, -1)) - 1).abs() > rounding).any(1)
        off = off | (x < 0).flatten(1).any(1) | outside.flatten(1).any(1)
        return torch.where(off, math.inf, x.new_zeros(()))

    def determines(self, ambiguity: str) -> str | None:
        if ambiguity == "scale":
            return "entries at least 0, sum 1"
        if ambiguity == "shift" and self.support is not None:
            return f"only partly, by the {self.support}×{self.support} support"
        return None

    def _window(self, x: Tensor) -> tuple[slice, slice]:
        height, width = x.shape[-2:]
        if self.support is None:
            return slice(0, height), slice(0, width)
        if self.support > min(height, width):
            raise InputError(
                f"Simplex(support={self.support}) does not fit a block of {height}×{width}: use "
                "a smaller support, or a larger block (unfold.terms.embed_kernel)"
            )
        top, left = height // 2 - self.support // 2, width // 2 - self.support // 2
        return slice(top, top + self.support), slice(left, left + self.support)


def _project(v: Tensor, step: Tensor) -> Tensor:
    """``argmin Σ (x − v)² / step`` over ``x >= 0`` that sum to one over the last two axes."""
    # (Equal steps have no influence, even if they are zero.)
    flat, weights = v.flatten(2), step.flatten(2).clamp_min(torch.finfo(v.dtype).tiny ** 0.5)
    with torch.no_grad():
        ratio = flat / weights
        order = ratio.argsort(-1, descending=True)
        # The multiplier if exactly the first k were positive. They are, as long as it is below the
        # k-th ratio.
        excess = flat.gather(-1, order).cumsum(-1) - 1
        multipliers = excess / weights.gather(-1, order).cumsum(-1)
        count = (ratio.gather(-1, order) > multipliers).sum(-1, keepdim=True)
        multiplier = multipliers.gather(-1, count.clamp_min(1) - 1)
        positive = ratio > multiplier
    # Computed again from the positive entries only: this has the gradient, and fewer roundings.
    kept = torch.where(positive, flat, 0).sum(-1, keepdim=True) - 1
    share = torch.where(positive, weights, 0).sum(-1, keepdim=True)
    return (flat - weights * (kept / share)).clamp_min(0).reshape(v.shape)
