"""The objective as a formula: a sum of squares, constraints and priors of expressions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from .affine import Affine
from .cg import CG
from .expression import Entry, Expression, consistent
from .lagrangian import Constraint, Lagrangian, Multiple, Quadratic, Regularizer, Weight
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

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, Term):
            return other.weighted(self)
        if isinstance(other, (int, float)):
            return Penalty(self.name, self.factor * other)
        raise TypeError(
            f"the penalty {self.name} is multiplied by {other!r:.40}: it multiplies a number or a "
            "term, such as sq(x - y); declare a factor of a block as data"
        )

    __rmul__ = __mul__

    def __truediv__(self, number: float) -> Penalty:
        return Penalty(self.name, self.factor / number)

    @property
    def weight(self) -> Weight:
        return self.name if self.factor == 1 else Multiple(self.factor, self.name)


class Term:
    """A term of an objective.

    Attributes:
        penalty: the weight of the term or the penalty of a constraint; a number has no name.
    """

    penalty: Penalty

    def __add__(self, other: Any) -> Objective:
        return Objective(self) + other

    def __radd__(self, other: Any) -> Objective:
        return Objective(self) if other == 0 else NotImplemented  # (for the built-in sum)

    def __sub__(self, other: Any) -> Objective:
        raise TypeError("terms are added: an objective minus a square or a prior has no minimum")

    def __mul__(self, factor: float) -> Term:
        number = isinstance(factor, (int, float))  # pyright: ignore[reportUnnecessaryIsInstance]
        return self.weighted(Penalty("", factor) if number else factor)

    __rmul__ = __mul__

    def __truediv__(self, number: float) -> Term:
        return self * (1 / number)

    @abstractmethod
    def weighted(self, penalty: Penalty) -> Term:
        """The same term, with its weight multiplied by a number (with an empty name) or penalty."""

    @property
    @abstractmethod
    def entries(self) -> tuple[Entry, ...]:
        """The entries of its expression."""

    @abstractmethod
    def lowered(self, dual: str) -> Quadratic | Constraint | Regularizer:
        """The term of a `Lagrangian`."""


@dataclass(frozen=True, eq=False)
class Square(Term):
    """``w ‖r‖²``."""

    residual: Residual
    penalty: Penalty = Penalty("", 1.0)

    def weighted(self, penalty: Penalty) -> Square:
        return replace(self, penalty=_product(self.penalty, penalty))

    @property
    def entries(self) -> tuple[Entry, ...]:
        return _entries(self.residual)

    def lowered(self, dual: str) -> Quadratic:
        return Quadratic(self.residual, _weight(self.penalty * 2))


@dataclass(frozen=True, eq=False)
class Tie(Term):
    """``r = 0``, a constraint: ``⟨Γ, r⟩ + ρ/2 ‖r‖²``."""

    residual: Residual
    penalty: Penalty
    dual: str = ""

    def weighted(self, penalty: Penalty) -> Term:
        raise TypeError(
            f"the constraint {self.residual.formula()} = 0 is multiplied: give its penalty as the "
            "second argument, constraint(expression, penalty)"
        )

    @property
    def entries(self) -> tuple[Entry, ...]:
        return _entries(self.residual)

    def lowered(self, dual: str) -> Constraint:
        return Constraint(self.residual, _weight(self.penalty), self.dual or dual)


@dataclass(frozen=True, eq=False)
class Belief(Term):
    """``w g(e)``: a prior on a block, or on an expression that `Objective.split` replaces.

    Attributes:
        spec: the prior's name and options; None if the prior was not created by name.
    """

    prior: Prior
    on: Expression
    penalty: Penalty = Penalty("", 1.0)
    spec: Mapping[str, Any] | None = None

    def weighted(self, penalty: Penalty) -> Belief:
        return replace(self, penalty=_product(self.penalty, penalty))

    @property
    def entries(self) -> tuple[Entry, ...]:
        return (*self.on.entries, *(Entry(name, "data") for name in self.prior.reads))

    def lowered(self, dual: str) -> Regularizer:
        if not isinstance(self.on, Entry):
            raise ValueError(
                f"{type(self.prior).__name__} is put on {self.on.formula()}, and a prior acts on a "
                "block: split it, with .split(), or with a block z of your own and "
                f"constraint(z - {self.on.code()}, penalty)"
            )
        return Regularizer(self.on.name, self.prior, _weight(self.penalty))


class Objective:
    """A sum of terms to minimize, written as in a paper.

    It is written with `unfold.blocks`, `unfold.data`, `unfold.sq`, `unfold.constraint` and priors
    that are called on blocks. Each block's update is derived from it, as `Lagrangian` describes.

    Raises:
        ValueError: (when the formula is written) if a block and data have the same name.

    Example:
        >>> import unfold as uf
        >>> x, z = uf.blocks("x z")
        >>> y, k = uf.data("y k")
        >>> L = uf.sq(uf.conv(k, x) - y) / 2 + 0.01 * uf.tv(z) + uf.constraint(x - z, "rho")
        >>> L.order
        ('x', 'z', 'dual1')
    """

    def __init__(self, *terms: Term) -> None:
        self.terms = terms
        self.entries = consistent(entry for term in terms for entry in term.entries)
        self._lagrangian: Lagrangian | None = None

    def __add__(self, other: Any) -> Objective:
        if isinstance(other, Objective):
            return Objective(*self.terms, *other.terms)
        if isinstance(other, Term):
            return Objective(*self.terms, other)
        raise TypeError(
            f"{other!r:.40} is added to an objective, which is a sum of terms: sq(...), "
            "constraint(...) and priors of blocks"
        )

    @property
    def blocks(self) -> tuple[str, ...]:
        """The blocks, in the order in which they are written: first those of the squares."""
        kinds = (Square, Tie, Belief)
        terms = [term for kind in kinds for term in self.terms if isinstance(term, kind)]
        names = [e.name for term in terms for e in term.entries if e.role != "data"]
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

    @property
    def lagrangian(self) -> Lagrangian:
        """The augmented Lagrangian; duals without a name are ``dual1``, ``dual2``, ...

        Raises:
            ValueError: if a prior is on an expression that is not a block, or two are on one block.
        """
        if self._lagrangian is None:
            self._lagrangian = Lagrangian(*self._lowered())
        return self._lagrangian

    def _lowered(self) -> Iterator[Quadratic | Constraint | Regularizer]:
        count = 0
        for term in self.terms:
            count += isinstance(term, Tie)
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
        start: Mapping[Any, Any] | None = None,
        order: Sequence[str] | None = None,
        tolerance: float = 1e-4,
        maximum: int = 500,
        cg: CG | None = None,
        **values: Tensor | float,
    ) -> Solution:
        """Repeat the updates until the primal and dual residuals are below a tolerance.

        Args:
            start: block -> its initial value: a tensor, or some data. The initial values of other
                blocks follow from a residual: that of x is y if the residual is ``conv(k, x) - y``.
            order: order of the updates.
            tolerance: relative, for each image (see `unfold.core.History`).
            maximum: largest number of rounds.
            cg: for blocks whose normal matrix is diagonal in no known basis.
            values: all data and penalties by name; data are ``(B, C, H, W)``.

        Returns:
            The value of each block by `Solution.__getitem__`, and how the run ended.

        Raises:
            ValueError: if a name is neither data nor a penalty, a value is missing, or the initial
                value of a block cannot be derived.
        """
        from .solution import solve

        return solve(self, start or {}, order, tolerance, maximum, cg, values)

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
            start: data that is the initial value of every block, or a mapping as in `solve`.
            tied: whether all rounds share their penalties and priors; otherwise each has a copy.
            order: order of the updates.
            penalties: the initial value of each named penalty; by default 1.
            cg: for blocks whose normal matrix is diagonal in no known basis.

        Returns:
            A module; ``network(y=photo, k=kernel)`` is the output block.
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
            start: data that is the initial value of every block, or a mapping as in `solve`.
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

    def _network(
        self, stages: nn.Module, output: Entry | str, start: Entry | Mapping[Any, Any] | None
    ) -> Network:
        from .network import Network

        starts = dict.fromkeys(self.blocks, start) if isinstance(start, Entry) else start
        return Network(self, stages, output=str(name_of(output)), start=starts or {})

    def to_dict(self) -> dict[str, Any]:
        """The objective as plain data, for `unfold.from_dict` and a declared model's file.

        Raises:
            ValueError: if a prior was not created by name, or a residual is not a formula.
        """
        from .record import as_dict

        return as_dict(self)

    def __repr__(self) -> str:
        return self.explain().split("\n\n")[0]


def believed(prior: Prior, on: Any, spec: Mapping[str, Any] | None = None) -> Belief:
    """A prior on a block or an expression of blocks.

    Raises:
        TypeError: if ``on`` is anything else.
        ValueError: if it is data.
    """
    if not isinstance(on, Expression):
        raise TypeError(f"a prior is put on a block or an expression of blocks, got {on!r:.40}")
    if all(entry.role == "data" for entry in on.entries):
        raise ValueError(f"a prior is put on {on.formula()}, which is data: put it on a block")
    return Belief(prior, on, spec=spec)


def as_penalty(value: str | float | Penalty) -> Penalty:
    """A penalty with a name or number."""
    if isinstance(value, Penalty):
        return value
    return Penalty(value) if isinstance(value, str) else Penalty("", float(value))


def name_of(block: Entry | str) -> str:
    return block.name if isinstance(block, Entry) else block


def as_residual(value: Any, what: str) -> Residual:
    """The residual of an expression; a residual is returned unchanged."""
    if isinstance(value, Expression):
        return Affine(value)
    if isinstance(value, Residual):
        return value
    raise TypeError(
        f"{what} takes an expression of blocks, such as conv(k, x) - y, got {value!r:.40}"
    )


def _entries(residual: Residual) -> tuple[Entry, ...]:
    if isinstance(residual, Affine):
        return residual.expression.entries
    reads = [n for n in residual.reads if n not in residual.optional_blocks]
    named = [*residual.blocks, *residual.optional_blocks]
    return (*(Entry(n) for n in named), *(Entry(n, "data") for n in reads))


def _product(one: Penalty, other: Penalty) -> Penalty:
    if one.name and other.name:
        raise TypeError(
            f"a term is multiplied by the penalties {one.name} and {other.name}: keep one of them"
        )
    return Penalty(one.name or other.name, one.factor * other.factor)


def _weight(penalty: Penalty) -> Weight:
    return penalty.weight if penalty.name else penalty.factor
