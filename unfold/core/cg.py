"""Conjugate gradients on a batch of systems, one per image, with an implicit gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from unfold.errors import InputError

Apply = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class CG:
    """Conjugate gradients, with their stopping rule.

    Args:
        maximum: largest number of iterations.
        tolerance: stop when ``‖b − A x‖ <= tolerance · ‖b‖`` for every image. None: run exactly
            ``maximum`` iterations, without waiting for the device.

    Example:
        >>> import torch
        >>> from unfold.core import CG
        >>> def apply(x):  # symmetric positive definite
        ...     return 3 * x - x.roll(1, -1) - x.roll(-1, -1)
        >>> b = torch.tensor([[[[1.0, 0.0, 2.0, 0.0]]]])
        >>> x = CG(tolerance=1e-6).solve(apply, b, torch.zeros_like(b), lambda r: r / 3)
        >>> torch.allclose(apply(x), b, atol=1e-5)
        True
    """

    maximum: int = 100
    tolerance: float | None = 1e-6

    def __post_init__(self) -> None:
        if self.maximum < 1:
            raise InputError(f"CG(maximum={self.maximum}): must be at least 1")
        if self.tolerance is not None and not self.tolerance > 0:
            raise InputError(
                f"CG(tolerance={self.tolerance}): must be positive, or None for a fixed number "
                "of iterations"
            )

    def solve(
        self,
        apply: Apply,
        rhs: Tensor | None,
        start: Tensor,
        precondition: Apply,
        residual: Apply | None = None,
        energy: Apply | None = None,
    ) -> Tensor:
        """``x`` with ``A x = b``, for symmetric positive definite ``A``.

        Args:
            apply: ``x -> A x``.
            rhs: ``b``, ``(B, C, H, W)``; None if ``residual`` is given and ``tolerance`` is None.
            start: initial value (a warm start).
            precondition: ``r -> M⁻¹ r`` with ``M ≈ A`` symmetric positive definite.
            residual: ``x -> b − A x``, if it can be computed with a smaller rounding error than
                that of the subtraction.
            energy: ``x -> xᵀ A x`` of each image, ``(B, 1, 1, 1)``, if it is cheaper than ``A x``.
                The last of a fixed number of iterations needs no more of ``A``.

        The gradient is that of the solution, not of the iterations: one more solve with the same
        ``A``, for which no iteration is stored. It is as accurate as the solve.
        """
        if residual is None:
            assert rhs is not None
            residual = lambda x: rhs - apply(x)  # noqa: E731
        if energy is None:
            energy = lambda x: _dot(x, apply(x))  # noqa: E731

        def iterate(goal: Tensor | None, x: Tensor, r: Tensor) -> Tensor:
            return self._iterate(apply, goal, x, r, precondition, energy)

        with torch.no_grad():
            x = iterate(self._goal(rhs), start, residual(start))
        if not torch.is_grad_enabled():
            return x

        # A x' = b implies dx' = A⁻¹ (db − dA x): differentiate the residual at the solution, and
        # multiply its gradient by A⁻¹.
        def solve(grad: Tensor) -> Tensor:
            return iterate(self._goal(grad), torch.zeros_like(grad), grad)

        return _Attach.apply(residual(x), x, solve)  # type: ignore[return-value]

    def _goal(self, rhs: Tensor | None) -> Tensor | None:
        """The squared norm of the residual at which the iterations stop."""
        if self.tolerance is None:
            return None
        assert rhs is not None
        return self.tolerance**2 * _dot(rhs, rhs)

    def _iterate(
        self,
        apply: Apply,
        goal: Tensor | None,
        x: Tensor,
        r: Tensor,
        precondition: Apply,
        energy: Apply,
    ) -> Tensor:
        p = rz = None
        for left in reversed(range(self.maximum)):
            if goal is not None and bool((_dot(r, r) <= goal).all()):
                break
            z = precondition(r)
            rz, before = _dot(r, z), rz
            p = z if p is None or before is None else torch.addcmul(z, _divide(rz, before), p)
            # For an image that is solved exactly p = 0: its quotients 0/0 are replaced by 0.
            if goal is None and left == 0:
                return torch.addcmul(x, _divide(rz, energy(p)), p)
            q = apply(p)
            step = _divide(rz, _dot(p, q))
            x = torch.addcmul(x, step, p)
            r = torch.addcmul(r, step, q, value=-1)
        return x


class _Attach(torch.autograd.Function):
    """The solution ``x``, to which a change ``dr`` of the residual adds ``A⁻¹ dr``."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, residual: Tensor, x: Tensor, solve: Apply
    ) -> Tensor:
        ctx.solve = solve
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return ctx.solve(grad), None, None


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((1, 2, 3), keepdim=True)


def _divide(a: Tensor, b: Tensor) -> Tensor:
    return torch.where(b > 0, a / torch.where(b > 0, b, 1), 0)
