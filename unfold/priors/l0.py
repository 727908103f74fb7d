"""The number of nonzero values."""

from __future__ import annotations

from torch import Tensor

from unfold.core.prior import Prior


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
