"""Isotropic total variation."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from unfold.core.prior import Prior
from unfold.errors import InputError


class TotalVariation(Prior):
    """``g(x) = Σ sqrt((∂h x)² + (∂w x)²)``: favors piecewise constant images, channel by channel.

    Forward differences, zero across the border. The prox is solved on the dual::

        x = v − step ⊙ ∇ᵀp,   |p| <= 1 at each pixel

    by accelerated projected gradient steps with a step size for each pixel. A ``step`` that varies
    over the image is therefore solved exactly, too, and as fast as a constant one.

    Args:
        iterations: number of dual steps. The error of the objective decreases like
            ``step / iterations²``. For steps up to some hundredths 20 iterations suffice within an
            alternating scheme; large steps or high precision need hundreds or thousands.

    Source: Beck and Teboulle, "Fast gradient-based algorithms for constrained total variation
    image denoising and deblurring problems", IEEE TIP 2009 (FGP); step sizes as in Pock and
    Chambolle, ICCV 2011.

    Example:
        >>> import torch
        >>> from unfold.priors import TotalVariation
        >>> noisy_edge = torch.tensor([[[[0.1, -0.1, 0.1, 0.9, 1.1, 0.9]]]])
        >>> step = torch.full((1, 1, 1, 1), 0.2)
        >>> TotalVariation(iterations=200)(noisy_edge, step).round(decimals=2)
        tensor([[[[0.1000, 0.1000, 0.1000, 0.9000, 0.9000, 0.9000]]]])
    """

    convex = True

    def __init__(self, *, iterations: Annotated[int, Field(ge=1, le=10_000)] = 20) -> None:
        super().__init__()
        if iterations < 1:
            raise InputError(f"TotalVariation(iterations={iterations}): must be at least 1")
        self.iterations = iterations

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        # The dual's curvature at a pixel is at most 4 (step here + step at the neighbor).
        # (Where the step is zero, any finite rate is correct.)
        curvature = 4 * (step + _largest_neighbor(step))
        rate = 1 / curvature.clamp_min(torch.finfo(v.dtype).tiny ** 0.5)
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self._prox(v, step, rate)
        return self._prox_in_place(v, step, rate)

    def _prox(self, v: Tensor, step: Tensor, rate: Tensor) -> Tensor:
        p = q = v.new_zeros(2, *v.shape)
        t = 1.0
        for _ in range(self.iterations):
            before = p
            p = q + gradient(v - step * gradient_adjoint(q)).mul_(rate)
            p = p * (p[0].square() + p[1].square()).clamp_min_(1).rsqrt_()
            t, old = _next(t), t
            q = torch.lerp(before, p, 1 + (old - 1) / t)
        return v - step * gradient_adjoint(p)

    def _prox_in_place(self, v: Tensor, step: Tensor, rate: Tensor) -> Tensor:
        """`_prox` without gradients, in buffers that all iterations share. Such memory-bound
        iterations take at most half the time."""
        before, p, q = v.new_zeros(3, 2, *v.shape)
        x, scale = torch.empty_like(v), torch.empty_like(v)
        t = 1.0
        for _ in range(self.iterations):
            _descend(v, step, q, out=x)
            torch.sub(x[..., 1:, :], x[..., :-1, :], out=p[0, ..., :-1, :])
            torch.sub(x[..., :, 1:], x[..., :, :-1], out=p[1, ..., :, :-1])
            torch.addcmul(q, p, rate.expand_as(p), out=p)  # last row and column remain zero
            torch.mul(p[0], p[0], out=scale)
            p.mul_(scale.addcmul_(p[1], p[1]).clamp_min_(1).rsqrt_())
            t, old = _next(t), t
            torch.lerp(before, p, 1 + (old - 1) / t, out=q)
            before, p = p, before
        return _descend(v, step, before, out=x)

    def step_for(self, variance: Tensor) -> Tensor:
        # For photos, the best weight is about half the standard deviation.
        return 0.6 * variance.sqrt()

    def value(self, x: Tensor) -> Tensor:
        return torch.linalg.vector_norm(gradient(x), dim=0).sum((1, 2, 3))


def gradient(x: Tensor) -> Tensor:
    """Forward differences ``(2, B, C, H, W)``: down, then right; zero in the last row, column."""
    # Not kornia's spatial_gradient: it takes central differences.
    difference = x.new_zeros(2, *x.shape)
    difference[0, ..., :-1, :] = x[..., 1:, :] - x[..., :-1, :]
    difference[1, ..., :, :-1] = x[..., :, 1:] - x[..., :, :-1]
    return difference


def gradient_adjoint(p: Tensor) -> Tensor:
    """``∇ᵀp``, the negative divergence, for a ``p`` that is zero where `gradient` always is."""
    adjoint = (p[0] + p[1]).neg_()
    adjoint[..., 1:, :] += p[0, ..., :-1, :]
    adjoint[..., :, 1:] += p[1, ..., :, :-1]
    return adjoint


def _descend(v: Tensor, step: Tensor, p: Tensor, *, out: Tensor) -> Tensor:
    """``v − step ⊙ ∇ᵀp``, into ``out``."""
    torch.add(p[0], p[1], out=out)
    out[..., 1:, :] -= p[0, ..., :-1, :]
    out[..., :, 1:] -= p[1, ..., :, :-1]
    return torch.addcmul(v, step.expand_as(v), out, out=out)


def _next(t: float) -> float:
    """The accelerating sequence of FGP."""
    return (1 + (1 + 4 * t * t) ** 0.5) / 2


def _largest_neighbor(step: Tensor) -> Tensor:
    below = torch.cat((step[..., 1:, :], step[..., -1:, :]), -2)
    beside = torch.cat((step[..., :, 1:], step[..., :, -1:]), -1)
    return torch.maximum(below, beside)
