"""The fixed point of a stage as a network of infinitely many rounds, with its gradient."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unfold.errors import UnfoldError

from .fixed_point import FixedPoint, Map, anderson, arnoldi, resolvent
from .lagrangian import check_number
from .state import State
from .unroll import Stage, check_count

_PRODUCTS = 30  # products in the power iteration


class EquilibriumError(UnfoldError, RuntimeError):
    """The rounds did not converge to a fixed point.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> (x, z), y = uf.blocks("x z"), uf.data("y")
        >>> L = uf.sq(x - y) / 2 + uf.ridge(z) + uf.constraint(x - z, 1.0)
        >>> L.equilibrium(output=z, maximum=1)(y=torch.ones(1, 1, 1, 1))
        Traceback (most recent call last):
            ...
        unfold.core.equilibrium.EquilibriumError: no equilibrium within 1 rounds: a round ...
    """


class Equilibrium(nn.Module):
    """The fixed point of one stage: `Unrolled` without a fixed number of rounds.

    Problem: ``s = round(s)``, s all entries that the round changes (blocks and duals).

    The gradient is that of the fixed point, by the implicit function theorem: for the gradient u
    of the output, ``g = u + Jᵀ g`` is solved with products of one round, and g is propagated
    through that round once. The memory is therefore that of one round. The gradient is as accurate
    as the tolerance and the inner solves of the round (`CG`).

    Args:
        stage: the round to repeat.
        tolerance: relative tolerance: ``‖round(s) − s‖ <= tolerance ‖s‖`` for each image; likewise
            for the gradient, relative to ``‖u‖``.
        maximum: largest number of rounds, and of products with J.

    Raises:
        EquilibriumError: (from ``forward``) if the tolerance is not reached. The message names the
            block that changes most, and the factor by which a round multiplies small errors. (From
            ``backward``) if the round does not contract at the fixed point, or the maximum is too
            small.

    Source: Bai, Kolter and Koltun, "Deep equilibrium models", NeurIPS 2019; of imaging: Gilton,
    Ongie and Willett, "Deep equilibrium architectures for inverse problems in imaging", IEEE TCI
    2021.

    Example:
        >>> import torch
        >>> from unfold.core import Equal, Equilibrium, Lagrangian, Quadratic, Stage, lower
        >>> chain = "yx", "xz", "zw"  # y and w held: x and z divide the way evenly
        >>> lagrangian = Lagrangian(*(Quadratic(Equal(*pair)) for pair in chain))
        >>> zero, three = torch.tensor([0.0, 3.0]).view(2, 1, 1, 1, 1)
        >>> solve = Equilibrium(Stage(lower(lagrangian, ("x", "z")), penalties={}))
        >>> state = solve({"y": zero, "x": zero, "z": zero, "w": three})
        >>> round(state["x"].item(), 3), round(state["z"].item(), 3)
        (1.0, 2.0)
    """

    def __init__(self, stage: Stage, *, tolerance: float = 1e-4, maximum: int = 200) -> None:
        super().__init__()
        check_number(tolerance, "tolerance", least=None)
        check_count("maximum", maximum)
        self.stages = nn.ModuleList([stage])
        self.tolerance, self.maximum = tolerance, maximum

    def forward(self, state: Mapping[str, Tensor]) -> State:
        """The state at the fixed point.

        Args:
            state: every block, observation and kernel; missing duals start at zero.
        """
        stage: Stage = self.stages[0]  # type: ignore[assignment]
        with torch.no_grad():
            round = Round(stage, stage.lagrangian.start(state))
            start = round.flat(round.state)
            found = anderson(round, start, tolerance=self.tolerance, maximum=self.maximum)
        if not bool((found.error <= self.tolerance).all()):
            raise EquilibriumError(_reason(round, found, self.tolerance))
        if not (torch.is_grad_enabled() and round.learns()):
            return round.unflat(found.image)
        value, transposed = round.linearized(found.image)

        def solve(grad: Tensor) -> Tensor:
            return self._solve(transposed, grad)

        return round.unflat(_Attach.apply(value, solve))  # type: ignore[arg-type]

    def _solve(self, transposed: Map, grad: Tensor) -> Tensor:
        """``(I − Jᵀ)⁻¹ grad``."""
        g, krylov = resolvent(transposed, grad, tolerance=self.tolerance, maximum=self.maximum)
        factor, doubt = krylov.radius()
        if bool((factor - doubt >= 1).any()):
            raise EquilibriumError(
                f"no gradient: a round multiplies some small errors by {factor.max().item():.3g} "
                f"at the fixed point, so it is unstable: {_REMEDY}"
            )
        if not bool(g.isfinite().all()):
            raise EquilibriumError(
                f"no gradient within {self.maximum} products with the round's Jacobian: raise "
                f"maximum, or the tolerance, {self.tolerance:g}"
            )
        return g


class Round:
    """A stage as a map of one tensor ``(B, D)``, the concatenation of all entries that it changes.

    Attributes:
        state: the last state; entries that the stage does not change are fixed.
        names: names of the entries that it changes.
    """

    def __init__(self, stage: Stage, state: Mapping[str, Tensor]) -> None:
        self.stage = stage
        self.state = stage(state)
        after = self.state
        self.names = [n for n in after if n not in state or after[n] is not state[n]]
        self._shapes = [after[name].shape for name in self.names]

    def __call__(self, flat: Tensor) -> Tensor:
        self.state = self.stage(self.unflat(flat))
        return self.flat(self.state)

    def flat(self, state: Mapping[str, Tensor]) -> Tensor:
        """The entries of a state, ``(B, D)``."""
        return torch.cat([state[name].flatten(1) for name in self.names], 1)

    def unflat(self, flat: Tensor) -> State:
        """A state with these entries."""
        state = self.state
        for name, part in self.parts(flat).items():
            state = state.replace(name, part)
        return state

    def parts(self, flat: Tensor) -> dict[str, Tensor]:
        """Name -> its entry."""
        pieces = torch.split_with_sizes(flat, [s[1:].numel() for s in self._shapes], 1)
        shaped = (p.reshape(-1, *s[1:]) for p, s in zip(pieces, self._shapes, strict=True))
        return dict(zip(self.names, shaped, strict=True))

    def learns(self) -> bool:
        """Whether a gradient is required for anything but the entries that change."""
        fixed = (self.state[name] for name in self.state if name not in self.names)
        own = (*self.stage.parameters(), *self.stage.buffers())
        return any(x.requires_grad for x in (*own, *fixed))

    def linearized(self, flat: Tensor) -> tuple[Tensor, Map]:
        """The round's value at ``flat``, and the product of its transposed Jacobian with a vector.

        The graph of the value ends at ``flat``; gradients of fixed entries and parameters pass
        through it.
        """
        with torch.inference_mode(False), torch.enable_grad():
            # A new state: cached values of the old one belong to its graph.
            self.state = State({name: _plain(value) for name, value in self.state.items()})
            point = _plain(flat).detach().requires_grad_()
            value = self(point)

        def transposed(v: Tensor) -> Tensor:
            (product,) = torch.autograd.grad(
                value, point, _plain(v), retain_graph=True, materialize_grads=True
            )
            return product

        return value, transposed


def contraction(round: Round, flat: Tensor) -> tuple[Tensor, Tensor]:
    """The asymptotic factor by which a round multiplies small errors near ``flat``: the largest
    modulus of an eigenvalue of its Jacobian, estimated by 30 steps of power iteration (see
    `arnoldi`).

    Returns:
        The factor, and the residual of its eigenvector, ``‖J q − θ q‖``; ``(B,)`` each.
    """
    _, transposed = round.linearized(flat)
    noise = torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))
    return arnoldi(transposed, noise.to(flat), _PRODUCTS).radius()


_REMEDY = (
    "give its priors a Lipschitz constant of at most 1, raise the penalties, or unroll a fixed "
    "number of rounds"
)


def _reason(round: Round, found: FixedPoint, tolerance: float) -> str:
    """Why an iteration ended without a fixed point."""
    worst = int(found.error.nan_to_num(torch.inf).argmax())
    x, image = (round.parts(flat[worst : worst + 1]) for flat in (found.x, found.image))
    name = max(round.names, key=lambda n: _change(x[n], image[n]))
    if not bool(found.image.isfinite().all()):
        return f"no equilibrium: {name} is not finite after {found.count} rounds: {_REMEDY}"
    said = (
        f"no equilibrium within {found.count} rounds: a round still changes {name} by "
        f"{_change(x[name], image[name]):.2g} of its size (all blocks: {found.error[worst]:.2g}, "
        f"tolerance {tolerance:g})"
    )
    if not all(prior.differentiable for prior in round.stage.lagrangian.priors.values()):
        return f"{said}: raise maximum, or the tolerance, or unroll a fixed number of rounds"
    factor = contraction(round, found.image)[0].max().item()
    if factor < 1:
        return (
            f"{said}; it contracts small errors there by {factor:.3g}, which is slow: raise "
            f"maximum, or the tolerance, or the penalties"
        )
    return f"{said}; it multiplies small errors there by {factor:.3g}: {_REMEDY}"


def _change(x: Tensor, image: Tensor) -> float:
    change = ((image - x).square().sum() / image.square().sum()).sqrt().item()
    return math.inf if math.isnan(change) else change


def _plain(x: Tensor) -> Tensor:
    """The tensor; a copy that can be part of a graph if it was made in inference mode."""
    return x.clone() if x.is_inference() else x


class _Attach(torch.autograd.Function):
    """The value of a round, with the gradient of the fixed point."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, solve: Map) -> Tensor:  # type: ignore[override]
        ctx.solve = solve
        return value.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return ctx.solve(grad), None
