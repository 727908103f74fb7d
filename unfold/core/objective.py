"""The objective as a formula: a sum of squares, constraints and priors of expressions."""

from __future__ import annotations

import inspect
import keyword
import warnings
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

from torch import Tensor, nn

from unfold.errors import InputError, InputTypeError

from .affine import Affine
from .cg import CG
from .expression import Entry, Expression, consistent, is_number, reciprocal
from .inputs import shown
from .lagrangian import (
    Constraint,
    Lagrangian,
    Multiple,
    Quadratic,
    Regularizer,
    Weight,
    check_number,
)
from .prior import Prior
from .residual import Residual

if TYPE_CHECKING:
    from .network import Network
    from .solution import Solution


@dataclass(frozen=True)
class Penalty:
    """A named weight of a term; its value is given, learned or predicted later.

    Attributes:
        name: name of the penalty.
        factor: number by which it is multiplied.
    """

    name: str
    factor: float = 1.0

    __array_ufunc__ = None  # (NumPy leaves products with its arrays to this class)

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, Objective):
            return other * self
        if is_number(other):
            return Penalty(self.name, self.factor * float(other))
        raise InputTypeError(
            f"the penalty {self.name} is multiplied by {shown(other)}: it multiplies a number or a "
            "term, such as sq(x - y); declare a factor of a block as data"
        )

    __rmul__ = __mul__

    def __truediv__(self, number: float) -> Penalty:
        return self * reciprocal(number, f"the penalty {self.name}")

    def _refused(self, other: object = None) -> NoReturn:
        raise InputTypeError(
            f"the penalty {self.name} only multiplies terms and numbers: for a sum of penalties, "
            "declare one more"
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __neg__ = __rtruediv__ = __pow__ = _refused

    @property
    def weight(self) -> Weight:
        return self.name if self.factor == 1 else Multiple(self.factor, self.name)


class Objective:
    """A sum of terms to minimize, written as in a paper.

    It is written with `unfold.blocks`, `unfold.data`, `unfold.sq`, `unfold.constraint` and priors
    that are called on blocks. Each block's update is derived from it, as `Lagrangian` describes.

    Raises:
        InputError: (when the formula is written) if two of a block, data and a penalty have the
            same name, or a weight is negative or not finite.

    Example:
        >>> import unfold as uf
        >>> x, z = uf.blocks("x z")
        >>> y, k = uf.data("y k")
        >>> L = uf.sq(uf.conv(k, x) - y) / 2 + 0.01 * uf.tv(z) + uf.constraint(x - z, "rho")
        >>> L.order
        ('x', 'z', 'dual1')
    """

    __array_ufunc__ = None  # (NumPy leaves products with its arrays to this class)

    def __init__(self, *terms: Term) -> None:
        self._terms = terms
        self._check()

    def _check(self) -> None:
        """The checks that are made when the formula is written."""
        names = {entry.name: entry.role for entry in self.entries}
        for name in self.penalties:
            if name in names:
                raise InputError(
                    f"{name!r} is {names[name]} and penalty: give one of them another name"
                )

    @property
    def terms(self) -> tuple[Term, ...]:
        """The terms, in the order in which they are written."""
        return self._terms

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The blocks and data."""
        return consistent(entry for term in self.terms for entry in term.own_entries)

    def __add__(self, other: Any) -> Objective:
        if isinstance(other, Objective):
            return Objective(*self.terms, *other.terms)
        remedy = "put a residual into sq(...)"
        if not isinstance(other, Expression):
            remedy = "terms are sq(...), constraint(...) and priors of blocks"
        raise InputTypeError(f"{shown(other)} is added to an objective, a sum of terms: {remedy}")

    def __radd__(self, other: Any) -> Objective:
        return self if is_number(other) and other == 0 else self + other  # (for the built-in sum)

    def __mul__(self, factor: float | Penalty) -> Objective:
        return Objective(*(term * factor for term in self.terms))

    __rmul__ = __mul__

    def __truediv__(self, number: float) -> Objective:
        return self * reciprocal(number, "a term")

    def _refused(self, other: object = None) -> NoReturn:
        raise InputTypeError(
            "terms are added, and multiplied by numbers and penalties: an objective minus a square "
            "or a prior has no minimum"
        )

    __sub__ = __rsub__ = __neg__ = __rtruediv__ = __pow__ = __matmul__ = __rmatmul__ = _refused

    @property
    def blocks(self) -> tuple[str, ...]:
        """The blocks, in the order in which they are written: first those of the squares."""
        kinds = (Square, Equality, PriorOn)
        terms = [term for kind in kinds for term in self.terms if isinstance(term, kind)]
        names = [e.name for term in terms for e in term.own_entries if e.role != "data"]
        return tuple(dict.fromkeys(names))

    @property
    def data(self) -> tuple[str, ...]:
        """The fixed entries."""
        return tuple(entry.name for entry in self.entries if entry.role == "data")

    @property
    def penalties(self) -> tuple[str, ...]:
        """The named penalties."""
        return tuple(dict.fromkeys(t.penalty.name for t in self.terms if t.penalty.name))

    @property
    def order(self) -> tuple[str, ...]:
        """The default order of the updates: the blocks, then the duals."""
        return (*self.blocks, *self.lagrangian.duals)

    @cached_property
    def lagrangian(self) -> Lagrangian:
        """The augmented Lagrangian; duals without a name are ``dual1``, ``dual2``, ...

        Raises:
            InputError: if a prior is on an expression that is not a block, or two are on one block.
        """
        for term in self.terms:
            if isinstance(term, PriorOn) and not isinstance(term.on, Entry):
                raise InputError(
                    f"{type(term.prior).__name__} is put on {term.on.formula()}, and a prior acts "
                    "on a block: split it, with .split(), or with a block z of your own and "
                    f"constraint(z - {term.on.code()}, penalty)"
                )
        return Lagrangian(*self._lowered())

    def _lowered(self) -> Iterator[Quadratic | Constraint | Regularizer]:
        count = 0
        for term in self.terms:
            count += isinstance(term, Equality)
            yield term.lowered(f"dual{count}")

    def explain(self, order: Sequence[str] | None = None) -> str:
        """Describe the objective, each block's normal matrix, its solver and the reason for it."""
        return self.lagrangian.explain(self.order if order is None else order)

    def split(self, penalty: str | float | Penalty = 1.0) -> Objective:
        """The same objective, with every prior on a block that a division solves.

        A prior on an expression, a second prior on a block, and a prior on a block whose normal
        matrix is not diagonal in the pixel basis each get a new block, ``z1``, ``z2``, ..., and a
        constraint with the given penalty.

        Example:
            >>> import unfold as uf
            >>> x, y = uf.blocks("x"), uf.data("y")
            >>> (uf.sq(x - y) / 2 + 0.1 * uf.l1(uf.grad(x))).split("rho").order
            ('x', 'z1', 'dual1')
        """
        from .network import splits

        return Objective(*splits(self, as_penalty(penalty)))

    def solve(
        self,
        *,
        start: Entry | Mapping[Any, Any] | None = None,
        order: Sequence[str] | None = None,
        tolerance: float = 1e-4,
        maximum: int = 500,
        cg: CG | None = None,
        **values: Tensor | float,
    ) -> Solution:
        """Repeat the updates until the primal and dual residuals are below a tolerance.

        Args:
            start: block -> its initial value: a tensor, or some data; or data for every block. The
                initial values of other blocks follow from a residual: that of x is y if the
                residual is ``conv(k, x) - y``.
            order: order of the updates.
            tolerance: relative, for each image (see `unfold.core.History`).
            maximum: largest number of rounds.
            cg: for blocks whose normal matrix is diagonal in no known basis.
            values: all data and penalties by name; data are ``(B, C, H, W)``.

        Returns:
            The value of each block by `Solution.__getitem__`, and how the run ended.

        Warns:
            UserWarning: if a prior that was created by name requires training, and has random
                weights; or if the residuals are not below the tolerance after ``maximum`` rounds.

        Raises:
            InputError: if data or an initial value is not a floating-point tensor with four axes.
            InputError: if a name is neither data nor a penalty, a value is missing, or the initial
                value of a block cannot be derived.
        """
        from .solution import solve

        for name in self._untrained():
            warnings.warn(
                f"{name}: the prior requires training and has random weights: train the network of "
                "unroll(...), or choose a prior with trained weights, such as denoiser (after "
                "training, set its attribute requires_training to False)",
                stacklevel=2,
            )
        start = {} if start is None else start
        solution = solve(self, start, order, tolerance, maximum, cg, values)
        if not solution.converged:
            warnings.warn(
                f"after {maximum} rounds a residual is above the tolerance, {tolerance:g}: raise "
                "maximum or tolerance, or change the penalties (print(solution.history) shows the "
                "residuals)",
                stacklevel=2,
            )
        return solution

    def unroll(
        self,
        K: int,
        *,
        output: Entry | str,
        start: Entry | Mapping[Any, Any] | None = None,
        tied: bool = True,
        order: Sequence[str] | None = None,
        penalties: Mapping[str, float] | None = None,
        cg: CG | None = None,
    ) -> Network:
        """K rounds of the updates as a network with learned penalties and priors.

        Args:
            K: number of rounds.
            output: the block that the network returns.
            start: the initial values of blocks, as in `solve`.
            tied: whether all rounds share their penalties and priors; otherwise each has a copy.
            order: order of the updates.
            penalties: the initial value of each named penalty; by default 1.
            cg: for blocks whose normal matrix is diagonal in no known basis.

        Returns:
            A module; ``network(y=photo, k=kernel)`` is the output block. Unlike `solve`, it does
            not check its data for NaN, because on a GPU the check would wait for the device.
        """
        from .network import unrolled

        stages = unrolled(self, K, tied=tied, order=order, penalties=penalties or {}, cg=cg)
        return self._network(stages, output, start)

    def equilibrium(
        self,
        *,
        output: Entry | str,
        start: Entry | Mapping[Any, Any] | None = None,
        order: Sequence[str] | None = None,
        penalties: Mapping[str, float] | None = None,
        cg: CG | None = None,
        tolerance: float = 1e-4,
        maximum: int = 200,
    ) -> Network:
        """The fixed point of the updates as a network with learned penalties and priors.

        This is `unroll` without a fixed number of rounds: Anderson acceleration repeats them to a
        tolerance, and the gradient is that of the fixed point, so that memory does not grow with
        the number of rounds (see `unfold.core.Equilibrium`). `unfold.certify` measures whether the
        rounds contract.

        Args:
            output: the block that the network returns.
            start: the initial values of blocks, as in `solve`.
            order: order of the updates.
            penalties: the initial value of each named penalty; by default 1.
            cg: for blocks whose normal matrix is diagonal in no known basis.
            tolerance: relative change of all blocks and duals in a round, for each image.
            maximum: largest number of rounds.

        Returns:
            A module; ``network(y=photo, k=kernel)`` is the output block.

        Raises:
            EquilibriumError: (from the network) if the rounds do not converge to a fixed point.

        Example:
            >>> import torch
            >>> import unfold as uf
            >>> (x, z), y = uf.blocks("x z"), uf.data("y")
            >>> L = uf.sq(x - y) / 2 + uf.ridge(z) + uf.constraint(x - z, "rho")
            >>> network = L.equilibrium(output=z)
            >>> network(y=torch.ones(1, 1, 1, 2))
            tensor([[[[0.5000, 0.5000]]]], grad_fn=<ViewBackward0>)
        """
        from .equilibrium import Equilibrium
        from .network import learned_stage

        stage = learned_stage(self, self.lagrangian, order=order, penalties=penalties or {}, cg=cg)
        return self._network(
            Equilibrium(stage, tolerance=tolerance, maximum=maximum), output, start
        )

    def _untrained(self) -> Iterator[str]:
        """The names of the priors, created by name, that require training."""
        for term in self.terms:
            if isinstance(term, PriorOn) and term.spec and term.prior.requires_training:
                yield term.spec["kind"]

    def _network(
        self, stages: nn.Module, output: Entry | str, start: Entry | Mapping[Any, Any] | None
    ) -> Network:
        from .network import Network

        start = {} if start is None else start
        return Network(self, stages, output=str(name_of(output)), start=start)

    def to_dict(self) -> dict[str, Any]:
        """The objective as plain data, for `unfold.from_dict` and a declared model's file.

        Raises:
            InputError: if a prior was not created by name, or a residual is not a formula.
        """
        from .record import as_dict

        return as_dict(self)

    def __repr__(self) -> str:
        from .explain import formulas

        return "\n".join(formulas(tuple(self._lowered())))


class Term(Objective):
    """A term, which is also the objective of this term alone.

    Attributes:
        penalty: the weight of the term or the penalty of a constraint; a number has no name.
    """

    penalty: Penalty

    def __post_init__(self) -> None:
        """The checks that are made when the term is written."""
        is_constraint = isinstance(self, Equality)
        what = "the penalty of a constraint" if is_constraint else "the weight of a term"
        check_number(self.penalty.factor, what, least=None if is_constraint else 0)
        self._check()

    @property
    def terms(self) -> tuple[Term, ...]:
        return (self,)

    def __mul__(self, factor: float | Penalty) -> Term:
        return self.weighted(_factor(factor))

    __rmul__ = __mul__

    @abstractmethod
    def weighted(self, penalty: Penalty) -> Term:
        """The same term, with its weight multiplied by a number (with an empty name) or penalty."""

    @property
    @abstractmethod
    def own_entries(self) -> tuple[Entry, ...]:
        """The entries of its expression, in the order in which they are written."""

    @abstractmethod
    def lowered(self, dual: str) -> Quadratic | Constraint | Regularizer:
        """The term of a `Lagrangian`."""


@dataclass(frozen=True, eq=False, repr=False)
class Square(Term):
    """``w ‖r‖²``."""

    residual: Residual
    penalty: Penalty = Penalty("", 1.0)

    def weighted(self, penalty: Penalty) -> Square:
        return replace(self, penalty=_product(self.penalty, penalty))

    @property
    def own_entries(self) -> tuple[Entry, ...]:
        return _entries(self.residual)

    def lowered(self, dual: str) -> Quadratic:
        return Quadratic(self.residual, _weight(self.penalty * 2))


@dataclass(frozen=True, eq=False, repr=False)
class Equality(Term):
    """``r = 0``, a constraint: ``⟨Γ, r⟩ + ρ/2 ‖r‖²``."""

    residual: Residual
    penalty: Penalty
    dual: str = ""

    def weighted(self, penalty: Penalty) -> Term:
        raise InputTypeError(
            f"the constraint {self.residual.formula()} = 0 is multiplied: give its penalty as the "
            "second argument, constraint(expression, penalty)"
        )

    @property
    def own_entries(self) -> tuple[Entry, ...]:
        return _entries(self.residual)

    def lowered(self, dual: str) -> Constraint:
        return Constraint(self.residual, _weight(self.penalty), self.dual or dual)


@dataclass(frozen=True, eq=False, repr=False)
class PriorOn(Term):
    """``w g(e)``: a prior on a block, or on an expression that `Objective.split` replaces.

    Attributes:
        spec: the prior's name and options; None if the prior was not created by name.
    """

    prior: Prior
    on: Expression
    penalty: Penalty = Penalty("", 1.0)
    spec: Mapping[str, Any] | None = None

    def weighted(self, penalty: Penalty) -> PriorOn:
        return replace(self, penalty=_product(self.penalty, penalty))

    @property
    def own_entries(self) -> tuple[Entry, ...]:
        return (*self.on.entries, *(Entry(name, "data") for name in self.prior.reads))

    def lowered(self, dual: str) -> Regularizer:
        return Regularizer(self.on.formula(), self.prior, _weight(self.penalty))


def prior_term(prior: Prior, on: Any, spec: Mapping[str, Any] | None = None) -> PriorOn:
    """A prior on a block or an expression of blocks.

    Raises:
        InputTypeError: if ``on`` is anything else.
        InputError: if it is data.
    """
    if not isinstance(on, Expression):
        raise InputTypeError(
            f"a prior is put on a block or an expression of blocks, got {shown(on)}"
        )
    if all(entry.role == "data" for entry in on.entries):
        raise InputError(f"a prior is put on {on.formula()}, which is data: put it on a block")
    return PriorOn(prior, on, spec=spec)


def as_penalty(value: str | float | Penalty) -> Penalty:
    """A penalty with a name or number."""
    if isinstance(value, Penalty):
        return value
    if isinstance(value, str):
        return Penalty(check_name(value))
    try:
        return Penalty("", float(value))
    except (TypeError, ValueError):
        raise InputTypeError(
            f"a penalty is a positive number, or the name of one, got {shown(value)}"
        ) from None


def check_name(name: str) -> str:
    """The name, if a block, data or a penalty may have it.

    Raises:
        InputError: if it is no identifier of Python, or an argument of `Objective.solve`.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise InputError(
            f"{name!r} cannot be the name of a block, data or a penalty: use letters, digits and "
            "underscores, no digit first, and no keyword of Python"
        )
    if name in inspect.signature(Objective.solve).parameters:
        raise InputError(
            f"{name!r} cannot be the name of a block, data or a penalty, because it is an argument "
            f"of solve: call it {name}_1"
        )
    return name


def name_of(block: Entry | str) -> str:
    return block.name if isinstance(block, Entry) else block


def as_residual(value: Any, what: str) -> Residual:
    """The residual of an expression; a residual is returned unchanged."""
    if isinstance(value, Expression):
        return Affine(value)
    if isinstance(value, Residual):
        return value
    raise InputTypeError(
        f"{what} takes an expression of blocks, such as conv(k, x) - y, got {shown(value)}"
    )


def _entries(residual: Residual) -> tuple[Entry, ...]:
    if isinstance(residual, Affine):
        return residual.expression.entries
    reads = [n for n in residual.reads if n not in residual.optional_blocks]
    named = [*residual.blocks, *residual.optional_blocks]
    return (*(Entry(n) for n in named), *(Entry(n, "data") for n in reads))


def _factor(value: Any) -> Penalty:
    """A number or a penalty by which a term is multiplied."""
    if isinstance(value, Penalty):
        return value
    if is_number(value):
        return Penalty("", float(value))
    raise InputTypeError(
        f"a term is multiplied by {shown(value)}: multiply it by a number, or by a penalty "
        'w = penalties("w"), whose value may be a tensor'
    )


def _product(one: Penalty, other: Penalty) -> Penalty:
    if one.name and other.name:
        raise InputTypeError(
            f"a term is multiplied by the penalties {one.name} and {other.name}: keep one of them"
        )
    return Penalty(one.name or other.name, one.factor * other.factor)


def _weight(penalty: Penalty) -> Weight:
    return penalty.weight if penalty.name else penalty.factor
