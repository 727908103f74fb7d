"""Priors whose proximal operator is a formula for each pixel."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from unfold.core.prior import Prior
from unfold.errors import InputError


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
