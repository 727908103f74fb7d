"""Clipping that passes the gradient."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["clip"]


def clip(x: Tensor, low: float | Tensor = 0.0, high: float | Tensor = 1.0) -> Tensor:
    """``x`` clipped to ``[low, high]``, with the gradient of ``x`` itself.

    The gradient of a plain clamp is zero outside the range: a network whose output is there could
    not be trained any more.

    Example:
        >>> import torch
        >>> from unfold.core.clip import clip
        >>> x = torch.tensor([0.5, 2.0], requires_grad=True)
        >>> clip(x).sum().backward()
        >>> clip(x).tolist(), x.grad.tolist()
        ([0.5, 1.0], [1.0, 1.0])
    """
    if x.requires_grad and torch.is_grad_enabled():
        return _Clip.apply(x, low, high)  # type: ignore[return-value]
    return x.clamp(low, high)  # type: ignore[arg-type]


class _Clip(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, low: float, high: float) -> Tensor:  # type: ignore[override]
        return x.clamp(low, high)

    @staticmethod
    def setup_context(ctx, inputs, output) -> None:  # type: ignore[override]
        pass

    @staticmethod
    def backward(ctx, grad: Tensor):  # type: ignore[override]
        return grad, None, None
