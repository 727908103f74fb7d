"""The history of a run: residuals, values and times of the update of each block in each stage."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .lagrangian import Lagrangian, Penalties
from .state import State

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .steps import Step


@dataclass(frozen=True)
class Update:
    """The update of one block in one stage; tensors have one value for each image, ``(B,)``.

    Attributes:
        stage: index of the stage, from 0.
        block: name of the block.
        primal: ``max_j ‖r_j‖ / max(‖its blocks‖)`` over the constraints on the block, at the end of
            the stage; 0 if there is none.
        dual: distance of the block from a stationary point at the end of the stage, relative to the
            right side of its normal equations. If the duals are updated, this is ADMM's dual
            residual, ``‖ρ JᵀK(z − z_before)‖`` for two blocks.
        lagrangian: value of the Lagrangian after the update, without priors of unknown value.
        seconds: wall time of the update (on a GPU: of its launch).

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> x, y = uf.blocks("x"), uf.data("y")
        >>> history = (uf.sq(x - y) / 2 + uf.ridge(x)).solve(y=torch.ones(1, 1, 1, 1)).history
        >>> update = history.entries[-1]
        >>> update.block, update.lagrangian, update.dual
        ('x', tensor([0.2500]), tensor([0.]))
    """

    stage: int
    block: str
    primal: Tensor
    dual: Tensor
    lagrangian: Tensor
    seconds: float


class History:
    """The record of a run: one `Update` per stage and block, detached from autograd.

    `Unrolled` and `converge` write it.

    Args:
        keep: whether the states between the stages are stored.

    Attributes:
        entries: the updates, in order.
        penalties: the penalties of each stage.
        states: with ``keep``, the state before the first stage and the state after each stage.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> (x, z), y = uf.blocks("x z"), uf.data("y")
        >>> L = uf.sq(x - y) / 2 + uf.ridge(z) + uf.constraint(x - z, 1.0)
        >>> history = L.solve(y=torch.ones(1, 1, 2, 2), tolerance=1e-3).history
        >>> history.converged(1e-3), history.entries[0].block
        (True, 'x')
    """

    def __init__(self, *, keep: bool = False) -> None:
        self.entries: list[Update] = []
        self.penalties: list[dict[str, Tensor | float]] = []
        self.states: list[dict[str, Tensor]] = []
        self._keep = keep

    def record(
        self, lagrangian: Lagrangian, steps: Iterable[Step], state: State, penalties: Penalties
    ) -> State:
        """Run and record the steps of one stage; returns the new state."""
        if self._keep and not self.states:
            self.states.append(_detached(state))
        steps = list(steps)
        updates: dict[str, tuple[Tensor | None, Tensor, float]] = {}
        for step in steps:
            begin = time.perf_counter()
            state = step(state, penalties)
            seconds = time.perf_counter() - begin
            block = getattr(step, "block", None)
            if block is not None:
                with torch.no_grad():
                    slope = _slope(lagrangian, block, state, penalties)
                    value = lagrangian.values(state, penalties)
                updates[block] = slope, value, seconds
        without_penalty = frozenset(dual for s in steps if (dual := getattr(s, "dual", None)))
        stage = len(self.penalties)
        with torch.no_grad():
            for block, (slope, value, seconds) in updates.items():
                primal = _primal(lagrangian, block, state)
                dual = _dual(lagrangian, block, state, penalties, without_penalty, slope)
                self.entries.append(Update(stage, block, primal, dual, value, seconds))
        self.penalties.append({name: _detach(penalties[name]) for name in penalties})
        if self._keep:
            self.states.append(_detached(state))
        return state

    def stage(self, index: int) -> list[Update]:
        """The entries of one stage; a negative index counts from the last stage."""
        index = range(len(self.penalties))[index]
        return [entry for entry in self.entries if entry.stage == index]

    def converged(self, tolerance: float) -> bool:
        """Whether all primal and dual residuals of the last stage are at most ``tolerance``."""
        if not self.penalties:
            return False
        last = self.stage(-1)
        return all(bool((torch.maximum(e.primal, e.dual) <= tolerance).all()) for e in last)

    def plot(self) -> Figure:
        """Curves over the stages: residuals (largest of the batch), Lagrangian, penalties, time.

        Returns:
            A matplotlib figure, for ``figure.savefig(path)``.

        Raises:
            ImportError: if matplotlib is not installed.
            ValueError: if no stage has run with this history.
        """
        from .plot import plot

        return plot(self)

    def __repr__(self) -> str:
        blocks = ", ".join(dict.fromkeys(entry.block for entry in self.entries))
        return f"History(stages: {len(self.penalties)}, blocks: {blocks or 'none'})"

    def __str__(self) -> str:
        lines = [
            f"{'stage':>5}  {'block':<6} {'primal':>9} {'dual':>9} {'Lagrangian':>12} {'ms':>8}"
        ]
        for e in self.entries:
            primal, dual, value = (t.max().item() for t in (e.primal, e.dual, e.lagrangian))
            lines.append(
                f"{e.stage:>5}  {e.block:<6} {primal:>9.2e} {dual:>9.2e} {value:>12.5g} "
                f"{1e3 * e.seconds:>8.2f}"
            )
        return "\n".join(lines)


def _slope(lagrangian: Lagrangian, block: str, state: State, penalties: Penalties) -> Tensor | None:
    """Minus a subgradient of the block's prior just after its update, which made the sum zero.

    None without a prior: the slope should then be zero, and any other value is an error.
    """
    if block not in lagrangian.regularizers:
        return None
    return lagrangian.normal(block, state, penalties).gradient(state[block])


def _dual(
    lagrangian: Lagrangian,
    block: str,
    state: State,
    penalties: Penalties,
    without_penalty: frozenset[str],
    slope: Tensor | None,
) -> Tensor:
    equations = lagrangian.normal(block, state, penalties, without_penalty)
    left = equations.gradient(state[block])
    if slope is not None:
        left = left - slope
    scale = _norm(
        lagrangian.normal(block, state, penalties).gradient(torch.zeros_like(state[block]))
    )
    return _ratio(_norm(left), scale)


def _primal(lagrangian: Lagrangian, block: str, state: Mapping[str, Tensor]) -> Tensor:
    worst = torch.zeros(state[block].shape[0], device=state[block].device)
    for constraint in lagrangian.constraints:
        residual = constraint.residual
        if residual.structure(block) is not None:
            sizes = [_norm(state[name]) for name in residual.blocks]
            ratio = _ratio(_norm(residual(state)), reduce(torch.maximum, sizes))
            worst = torch.maximum(worst, ratio)
    return worst


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=(1, 2, 3))  # pyright: ignore (torch does not type it)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    return a / b.clamp_min(torch.finfo(b.dtype).tiny)


def _detached(state: State) -> dict[str, Tensor]:
    return {name: value.detach() for name, value in state.items()}


def _detach(weight: Tensor | float) -> Tensor | float:
    return weight.detach() if isinstance(weight, Tensor) else weight
