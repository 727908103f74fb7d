"""Priors whose proximal operator has a closed form: a formula, or one exact projection."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from unfold.core.prior import Prior
from unfold.errors import InputError, InputTypeError


class Identity(Prior):
    """``g = 0``: no prior knowledge; ``prox(v) = v``.

    Example:
        >>> import torch
        >>> from unfold.priors import Identity
        >>> Identity()(torch.tensor([[[[-0.5, 0.5, 1.5]]]]), step=torch.ones(1, 1, 1, 1))
        tensor([[[[-0.5000,  0.5000,  1.5000]]]])
    """

    convex = True
    exact = True

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return v

    def value(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.shape[0])


Value = Annotated[float, Field(ge=-1e6, le=1e6)]


class Box(Prior):
    """``g(x) = 0`` if ``low <= x <= high`` everywhere, otherwise infinite; ``prox`` clips.

    Args:
        low: smallest value; ``-inf`` is possible in Python, but not in a config.
        high: largest value; likewise ``inf``.

    Example:
        >>> import torch
        >>> from unfold.priors import Box
        >>> Box()(torch.tensor([[[[-0.5, 0.5, 1.5]]]]), step=torch.ones(1, 1, 1, 1))
        tensor([[[[0.0000, 0.5000, 1.0000]]]])
    """

    convex = True
    exact = True

    def __init__(self, *, low: Value = 0.0, high: Value = 1.0) -> None:
        super().__init__()
        if not low < high:
            raise InputError(f"Box(low={low}, high={high}): low must be below high")
        self.low, self.high = low, high

    @staticmethod
    def option_errors(spec: Any) -> list[tuple[tuple[str], str]]:
        """The error of bounds between which there is no value."""
        error = f"must be below high, {spec.high:g}"
        return [] if spec.low < spec.high else [(("low",), error)]

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return v.clamp(self.low, self.high)

    def determines(self, ambiguity: str) -> str | None:
        if ambiguity != "scale":
            return None
        return f"only partly, by the bounds [{self.low:g}, {self.high:g}]"

    def value(self, x: Tensor) -> Tensor:
        outside = ((x < self.low) | (x > self.high)).flatten(1).any(1)
        return torch.where(outside, math.inf, x.new_zeros(()))


class SoftThreshold(Prior):
    """``g(x) = ‖x‖₁``: favors sparse x; ``prox(v) = sign(v) max(|v| − step, 0)``.

    It is weighted by the regularizer: ``Regularizer("E", SoftThreshold(), "ws")``.

    Example:
        >>> import torch
        >>> from unfold.priors import SoftThreshold
        >>> v, step = torch.tensor([[[[-2.0, 0.25, 1.0]]]]), torch.full((1, 1, 1, 1), 0.5)
        >>> SoftThreshold()(v, step)
        tensor([[[[-1.5000,  0.0000,  0.5000]]]])
    """

    convex = True
    exact = True

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return v - torch.maximum(torch.minimum(v, step), -step)

    def value(self, x: Tensor) -> Tensor:
        return x.abs().sum((1, 2, 3))


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


class L0(Prior):
    """``g(x)`` is the number of nonzero values; for gradients it favors few edges.

    The prox is the hard threshold ``v · 1[v² > 2 step]``. If grouped, ``g`` is the number of pixels
    at which any channel is nonzero, and all channels are kept where ``Σ_c v_c² / step_c > 2``. For
    the gradient of an image (`unfold.terms.Gradient`) this counts one edge for both directions and
    all colors. Neither is convex: alternating minimization finds a stationary point.

    Args:
        grouped: whether the channels of a pixel are kept or set to zero together.

    Source: Xu, Lu, Xu and Jia, "Image smoothing via L0 gradient minimization", ACM TOG 2011,
    eq. 12 (grouped).

    Example:
        >>> import torch
        >>> from unfold.priors import L0
        >>> v = torch.tensor([0.1, -0.5]).view(1, 1, 1, 2)
        >>> L0().prox(v, torch.full((1, 1, 1, 1), 0.02))
        tensor([[[[ 0.0000, -0.5000]]]])
    """

    exact = True

    def __init__(self, *, grouped: bool = False) -> None:
        super().__init__()
        self.grouped = grouped

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        if self.grouped and step.shape[1] == 1:
            # (1 or 0, in place: booleans would take twice the time.)
            return v * v.square().sum(1, keepdim=True).gt_(2 * step)
        if self.grouped:
            # A step of zero keeps nonzero values.
            gain = (v.square() / step).nan_to_num(0.0).sum(1, keepdim=True)
            return v * (gain > 2)
        return v * (v.square() > 2 * step)

    def value(self, x: Tensor) -> Tensor:
        kept = x != 0
        if self.grouped:
            kept = kept.any(1, keepdim=True)
        return kept.sum((1, 2, 3)).to(x.dtype)


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
        x[..., rows, columns] = _on_simplex(inside, steps)
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


def _on_simplex(v: Tensor, step: Tensor) -> Tensor:
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
