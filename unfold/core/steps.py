"""Steps: minimization over a block and dual ascent; `lower` derives them from a Lagrangian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from torch import Tensor

from unfold.errors import InputError

from .cg import CG
from .lagrangian import Lagrangian, Penalties, Regularizer, weight_of
from .normal import add_scaled, times
from .operators import Structure
from .prior import Prior
from .state import State


class Step(Protocol):
    """One update: ``(state, penalties) -> state``, without changes in place.

    A step that replaces a derived one is a callable, or a module if it has parameters.

    Example:
        >>> import torch
        >>> from unfold.core import Equal, Lagrangian, Quadratic, Stage, State, lower
        >>> def clip(state, penalties):
        ...     return State(state).replace("x", state["x"].clamp(0, 1))
        >>> lagrangian = Lagrangian(Quadratic(Equal("x", "y")))
        >>> stage = Stage((*lower(lagrangian, ("x",)), clip), penalties={})
        >>> stage({"x": torch.zeros(1, 1, 1, 2), "y": torch.tensor([[[[0.5, 2.0]]]])})["x"]
        tensor([[[[0.5000, 1.0000]]]])
    """

    def __call__(self, state: Mapping[str, Tensor], penalties: Penalties) -> State: ...


def majorizes(lagrangian: Lagrangian, block: str) -> bool:
    """Whether the update of a block majorizes its quadratic (see `Minimize`)."""
    if block not in lagrangian.regularizers:
        return False
    prior: Prior = lagrangian.priors[block]  # type: ignore[assignment]
    return lagrangian.structures[block] is Structure.PIXEL and not prior.accepts_map


class Minimize:
    """``x ← argmin_x L`` over one block, with all other entries fixed.

    Update, for normal equations ``A x = b`` and a prior ``w·g`` (see `unfold.core.normal`)::

        x = A⁻¹ b                                   without a prior
        x = prox_g(b / d, w / d)                    with a prior, A = diag(d)
        x = prox_g(x − (d ⊙ x − b) / c, w / c)      c = max d, if d varies from pixel to pixel
                                                    and the prior accepts one step for each image

    The last update majorizes: it does not increase the Lagrangian, and converges to its minimizer
    over the block if it is repeated.

    Raises:
        InputError: if the block is unknown, or has a prior and a normal matrix that is not diagonal
            in the pixels, so that no proximal operator minimizes over it exactly.

    Example:
        >>> import torch
        >>> from unfold.core import Equal, Lagrangian, Minimize, Quadratic, Regularizer
        >>> from unfold.priors import SoftThreshold
        >>> sparse = Regularizer("x", SoftThreshold(), "w")
        >>> lagrangian = Lagrangian(Quadratic(Equal("x", "y")), sparse)
        >>> y = torch.tensor([[[[0.25, -1.0, 2.0]]]])
        >>> Minimize("x", lagrangian)({"x": torch.zeros_like(y), "y": y}, {"w": 0.5})["x"]
        tensor([[[[ 0.0000, -0.5000,  1.5000]]]])
    """

    def __init__(self, block: str, lagrangian: Lagrangian, cg: CG | None = None) -> None:
        self.block = block
        self.lagrangian = lagrangian
        self.cg = CG() if cg is None else cg
        # The prior is read from the Lagrangian at each step, because it may be replaced there.
        self.regularizer: Regularizer | None = lagrangian.regularizers.get(block)
        _check_solvable(block, lagrangian, self.regularizer)

    @property
    def _majorizes(self) -> bool:
        return majorizes(self.lagrangian, self.block)

    @property
    def _starts_from_the_descent(self) -> bool:
        """Whether a fixed number of iterations solves the block: only a tolerance needs ``b``."""
        matrix_free = self.lagrangian.structures[self.block] is Structure.MATRIX_FREE
        return matrix_free and self.cg.tolerance is None

    def __call__(self, state: Mapping[str, Tensor], penalties: Penalties) -> State:
        state = State(state)
        right_side = not self._starts_from_the_descent
        normal = self.lagrangian.normal(self.block, state, penalties, right_side=right_side)
        if self.regularizer is None:

            def residual(x: Tensor) -> Tensor:
                # (What is derived from the block is kept while its value is that of the state.)
                at = state if x is state[self.block] else state.replace(self.block, x)
                return self.lagrangian.descent(self.block, at, penalties)

            return self._replace(state, normal.solve(state[self.block], self.cg, residual))
        if self._majorizes:
            v, inverse = normal.majorized(state[self.block])
        else:
            v, inverse = normal.solve_diagonal()
        prior: Prior = self.lagrangian.priors[self.block]  # type: ignore[assignment]
        weight = weight_of(self.regularizer, penalties, v.dtype, map_allowed=prior.accepts_map)
        step = times(weight, inverse)
        if not isinstance(step, Tensor):
            step = v.new_full((1, 1, 1, 1), step)
        elif step.ndim == 0:
            step = step.to(v.dtype).reshape(1, 1, 1, 1)
        return self._replace(state, prior.at(state)(v, step))

    def _replace(self, state: State, value: Tensor) -> State:
        shape = state[self.block].shape
        if value.shape != shape:
            raise InputError(
                f"the update of {self.block!r} has shape {tuple(value.shape)}, the block has "
                f"{tuple(shape)}: give the block the batch size of its kernels and maps; a prior "
                "must keep the shape"
            )
        return state.replace(self.block, value)

    def __repr__(self) -> str:
        return f"Minimize({self.block!r})"


class Ascend:
    """``Γ ← Γ + ρ r``: one step of ascent along the dual of a constraint ``r = 0``.

    Example:
        >>> import torch
        >>> from unfold.core import Ascend, Constraint, Equal, Lagrangian
        >>> lagrangian = Lagrangian(Constraint(Equal("x", "z"), penalty="rho", dual="D"))
        >>> x, z, dual = torch.tensor([3.0, 1.0, 0.0]).view(3, 1, 1, 1, 1)
        >>> Ascend("D", lagrangian)({"x": x, "z": z, "D": dual}, {"rho": 0.5})["D"].item()
        1.0
    """

    def __init__(self, dual: str, lagrangian: Lagrangian) -> None:
        if dual not in lagrangian.duals:
            raise InputError(f"{dual!r} is no dual; duals are {', '.join(lagrangian.duals)}")
        self.dual = dual
        self.lagrangian = lagrangian
        self.constraint = lagrangian.duals[dual]

    def __call__(self, state: Mapping[str, Tensor], penalties: Penalties) -> State:
        state = State(state)
        residual = self.constraint.residual(state)
        penalty = weight_of(self.constraint, penalties, residual.dtype)
        return state.replace(self.dual, add_scaled(state[self.dual], penalty, residual))

    def __repr__(self) -> str:
        return f"Ascend({self.dual!r})"


def lower(
    lagrangian: Lagrangian, order: Sequence[str], cg: CG | None = None
) -> tuple[Minimize | Ascend, ...]:
    """Derive the updates of one round, in the given order.

    Args:
        lagrangian: the Lagrangian.
        order: names of blocks and duals. A block that is left out is fixed (an observation).
        cg: for blocks whose normal matrix is diagonal in no known basis.

    Returns:
        A tuple of steps; replace any of them by another `Step`.

    Raises:
        InputError: if a name is neither block nor dual, a prior cannot be applied exactly to its
            block, or the block of a prior is never updated.

    Example:
        >>> import torch
        >>> from unfold.core import Equal, Lagrangian, Quadratic, lower
        >>> from unfold.terms import Convolution
        >>> blurred = Quadratic(Convolution("x", kernel="k", observed="y"))
        >>> lagrangian = Lagrangian(blurred, Quadratic(Equal("x", "y"), 1e-6))
        >>> (deconvolve,) = lower(lagrangian, order=("x",))
        >>> point = torch.tensor([[[[0.0, 0.2, 0.6, 0.2]]]])
        >>> kernel = torch.tensor([[[[0.2, 0.6, 0.2]]]])
        >>> deconvolve({"x": point, "y": point, "k": kernel}, {})["x"].round(decimals=3).abs()
        tensor([[[[0., 0., 1., 0.]]]])
    """
    names = list(order)
    lagrangian.check_order(names)
    idle = [block for block in lagrangian.regularizers if block not in names]
    if idle:
        raise InputError(
            f"the prior on {', '.join(map(repr, idle))} would never act: add the block to the "
            "order, or remove the prior"
        )
    return tuple(
        Ascend(name, lagrangian) if name in lagrangian.duals else Minimize(name, lagrangian, cg)
        for name in names
    )


def _check_solvable(block: str, lagrangian: Lagrangian, regularizer: Regularizer | None) -> None:
    structures = lagrangian.structures
    structure = structures.get(block)
    if structure is None:
        raise InputError(f"{block!r} is no block; blocks are {', '.join(structures)}")
    for term in (*lagrangian.quadratics, *lagrangian.constraints):
        residual = term.residual
        if block in residual.reads and block not in residual.optional_blocks:
            raise InputError(
                f"{block!r} cannot be updated: {type(residual).__name__} reads it, but does not "
                "declare it as a block, so the update would ignore that term"
            )
    if regularizer is None:
        return
    if structure not in (Structure.SCALAR, Structure.PIXEL):
        raise InputError(
            f"the block {block!r} has a prior and a {structure.value} normal matrix, which no "
            f"proximal operator inverts: split it, with a block z that has the prior and "
            f"constraint({block} - z, penalty); Objective.split() does so"
        )
