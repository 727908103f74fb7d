"""Half the sum of squares."""

from __future__ import annotations

from torch import Tensor

from unfold.core.prior import Prior


class Ridge(Prior):
    """``g(x) = ½ ‖x‖²``: favors small values; for a kernel that sums to one, a spread-out kernel.

    The prox is ``v / (1 + step)``. It is weighted by the regularizer: ``Regularizer("K", Ridge(),
    "γ")`` for ``γ/2 ‖K‖²``.

    Source: Tikhonov's regularization; of kernels as in Cho and Lee, "Fast motion deblurring",
    SIGGRAPH Asia 2009.

    Example:
        >>> import torch
        >>> from unfold.priors import Ridge
        >>> Ridge().prox(torch.full((1, 1, 1, 1), 3.0), torch.full((1, 1, 1, 1), 0.5))
        tensor([[[[2.]]]])
    """

    convex = True
    exact = True

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return v / (1 + step)

    def determines(self, ambiguity: str) -> str | None:
        return "a point costs most" if ambiguity == "no blur" else None

    def value(self, x: Tensor) -> Tensor:
        return x.square().sum((1, 2, 3)) / 2
