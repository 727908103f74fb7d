"""Expressions for residuals: signed sums of linear maps of blocks."""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator
from functools import reduce
from operator import add
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor

from unfold.errors import InputError, InputTypeError

from .ambiguity import Ambiguity, scale
from .inputs import shown
from .normal import add_scaled
from .operators import (
    LinearMap,
    PixelDiagonal,
    Structure,
    added,
    broadcast_shapes,
    composed,
)
from .state import State

__all__ = ["Expression"]

Role = Literal["block", "data", "optional"]


class Expression(ABC):
    """An expression that is affine in each of its blocks taken alone.

    Sums, differences, multiples, and products of expressions without a common name are expressions,
    too::

        >>> from unfold.core.expression import Entry
        >>> z, p, q = Entry("Z"), Entry("P"), Entry("Q")
        >>> z - p * q
        Z − P⊙Q

    A subclass represents one kind of linear map of an expression, or of an entry (such as a kernel)
    into it.
    """

    __array_ufunc__ = None  # (NumPy leaves products with its arrays to this class)

    entries: tuple[Entry, ...]
    """The entries of the expression, in the order in which they are written."""
    names: tuple[str, ...]
    """Their names."""

    def _remember(self, entries: tuple[Entry, ...]) -> None:
        self.entries, self.names = entries, tuple(entry.name for entry in entries)

    @abstractmethod
    def structure(self, name: str) -> Structure:
        """The structure of the map of one of its entries."""

    @abstractmethod
    def shape(self, state: State) -> torch.Size:
        """The shape of its value.

        Raises:
            InputError: if the shapes of the entries do not fit together; it lists them.
        """

    @abstractmethod
    def value(self, state: State) -> Tensor:
        """Its value, ``(B, C, H, W)``."""

    @abstractmethod
    def map(self, name: str, state: State) -> LinearMap:
        """``J`` of one of its entries at this state."""

    @abstractmethod
    def offset(self, name: str, state: State) -> Tensor | None:
        """Its value if one of its entries is zero; None if that value is zero."""

    @abstractmethod
    def formula(self) -> str:
        """The expression in mathematical notation; a sum is in parentheses."""

    @abstractmethod
    def code(self) -> str:
        """The expression as Python code, which a declared model's file also accepts."""

    @abstractmethod
    def symbols(self, name: str) -> tuple[str, ...]:
        """Symbols of the maps that are applied to one of its entries, the last map first."""

    def gram_formula(self, name: str) -> str:
        """``JᵀJ`` of one of its entries in mathematical notation."""
        symbols = self.symbols(name)
        if not symbols:
            return "1"
        left = "".join(f"{symbol}ᵀ" for symbol in reversed(symbols))
        return left + "".join(symbols)

    def ambiguities(self, order: Collection[str], rest: str) -> Iterator[Ambiguity]:
        """The changes of its entries that do not change its value (see `Residual.ambiguities`).

        Args:
            order: the unknown entries.
            rest: description of the quantity that the expression should equal.
        """
        return iter(())

    def inverse(self, name: str, state: State, target: Tensor | None = None) -> Tensor | None:
        """A value of one of its entries for which it is close to a target (of a sum: zero), as an
        initial value; None if there is no simple one."""
        return None

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __add__(self, other: Any) -> Sum:
        return Sum([*_summands(self), *_summands(_expression(other, "added to"))])

    def __sub__(self, other: Any) -> Sum:
        other = _expression(other, "subtracted from")
        return Sum([*_summands(self), *((-c, e) for c, e in _summands(other))])

    def __neg__(self) -> Sum:
        return Sum([(-c, e) for c, e in _summands(self)])

    def __mul__(self, other: Any) -> Expression:
        if is_number(other):
            return Sum([(float(other) * c, e) for c, e in _summands(self)])
        return Product(self, _expression(other, "multiplied by"))

    def __rmul__(self, other: Any) -> Expression:
        if is_number(other):
            return self * other
        return _expression(other, "multiplied by") * self

    def __radd__(self, other: Any) -> Expression:
        return _expression(other, "added to") + self

    def __rsub__(self, other: Any) -> Expression:
        return _expression(other, "subtracted from") - self

    def __truediv__(self, number: float) -> Expression:
        return self * reciprocal(number, self.formula())

    def _refused(self, other: object = None) -> NoReturn:
        raise InputTypeError(
            f"{self.formula()}: an expression is linear in each block: it has sums, differences, "
            "products with *, and division by numbers; a square is sq(...), a matrix linear(...)"
        )

    __pow__ = __rtruediv__ = __matmul__ = __rmatmul__ = _refused

    def __repr__(self) -> str:
        return self.formula()


class Entry(Expression):
    """An entry of the state, by name.

    Args:
        name: name in the state.
        role: ``"block"``: updated if it is in the order; ``"data"``: fixed; ``"optional"``: data
            unless it is in the order, such as a blur's kernel.
    """

    def __init__(self, name: str, role: Role = "block") -> None:
        self.name: str = name
        self.role: Role = role
        self._remember((self,))

    def structure(self, name: str) -> Structure:
        return Structure.SCALAR

    def shape(self, state: State) -> torch.Size:
        shape = state[self.name].shape
        if len(shape) != 4:
            raise InputError(
                f"{self.name!r} has shape {tuple(shape)}: entries are (batch, channels, height, "
                "width)"
            )
        return shape

    def value(self, state: State) -> Tensor:
        return state[self.name]

    def map(self, name: str, state: State) -> LinearMap:
        return PixelDiagonal(1.0, state[name].shape)

    def offset(self, name: str, state: State) -> Tensor | None:
        return None

    def inverse(self, name: str, state: State, target: Tensor | None = None) -> Tensor | None:
        return target

    def formula(self) -> str:
        return self.name

    def code(self) -> str:
        return self.name

    def symbols(self, name: str) -> tuple[str, ...]:
        return ()


class Sum(Expression):
    """``Σ c_i e_i``, c numbers."""

    def __init__(self, summands: Collection[tuple[float, Expression]]) -> None:
        self.summands = tuple(summands)
        self._remember(merged(*(e for _, e in self.summands)))
        # Positive summands come first, because an initial negation costs one pass over the image.
        up = tuple(sorted(self.summands, key=lambda summand: summand[0] < 0))
        down = tuple(sorted(self.summands, key=lambda summand: summand[0] > 0))
        self._ordered = {1.0: up, -1.0: down}

    def structure(self, name: str) -> Structure:
        return reduce(add, (e.structure(name) for _, e in self.summands if name in e))

    def shape(self, state: State) -> torch.Size:
        shapes = [e.shape(state) for _, e in self.summands]
        if all(shape == shapes[0] for shape in shapes):
            return shapes[0]
        if self._broadcasts(shapes):
            return broadcast_shapes(*shapes)
        parts = ", ".join(
            f"{e.formula()} {tuple(shape)}"
            for (_, e), shape in zip(self.summands, shapes, strict=True)
        )
        raise InputError(
            f"{self.bare_formula()} cannot combine {parts}: summands are (batch, channels, "
            "height, width) of one shape; of blocks and products of blocks, batch and channels "
            "may be 1"
        )

    def _broadcasts(self, shapes: list[torch.Size]) -> bool:
        sizes = {tuple(shape[-2:]) for shape in shapes}
        diagonal = (Structure.SCALAR, Structure.PIXEL)
        flat = all(e.structure(n) in diagonal for _, e in self.summands for n in e.names)
        counts = [{shape[i] for shape in shapes} - {1} for i in (0, 1)]
        return flat and len(sizes) == 1 and all(len(found) <= 1 for found in counts)

    def value(self, state: State) -> Tensor:
        value = self.signed(state, 1.0)
        assert value is not None
        return value

    def signed(self, state: State, sign: float, without: str = "") -> Tensor | None:
        """``sign`` times the value at which one entry is zero; None if that value is zero.

        Args:
            state: all other entries.
            sign: 1 or −1; applied to the summands, which costs no pass over the image.
            without: the entry that is zero.
        """
        total: Tensor | None = None
        for c, e in self._ordered[sign]:
            value = e.offset(without, state) if without in e else e.value(state)
            if value is not None:
                total = add_scaled(total, sign * c, value)
        return total

    def map(self, name: str, state: State) -> LinearMap:
        maps = [e.map(name, state).scaled(c) for c, e in self.summands if name in e]
        total = reduce(added, maps)
        return total.onto(self.shape(state)) if isinstance(total, PixelDiagonal) else total

    def offset(self, name: str, state: State) -> Tensor | None:
        return self.signed(state, 1.0, without=name)

    def inverse(self, name: str, state: State, target: Tensor | None = None) -> Tensor | None:
        holds = [(c, e) for c, e in self.summands if name in e]
        rest = self.signed(state, -1.0, without=name)
        if len(holds) != 1 or (rest is None and target is None):
            return None
        ((c, e),) = holds
        total = rest if target is None else target if rest is None else target + rest
        return e.inverse(name, state, total if c == 1 else total / c)  # type: ignore[operator]

    def formula(self) -> str:
        return f"({self.bare_formula()})"

    def code(self) -> str:
        text = ""
        for c, e in self.summands:
            inner = f"({e.code()})" if isinstance(e, Sum) else e.code()
            factor = "" if abs(c) == 1 else f"{abs(c)!r} * "
            text += ((" - " if c < 0 else " + ") if text else "-" * (c < 0)) + factor + inner
        return text

    def __repr__(self) -> str:
        return self.bare_formula()

    def bare_formula(self) -> str:
        """Without brackets."""
        text = ""
        for c, e in self.summands:
            sign = " − " if c < 0 else " + "
            factor = "" if abs(c) == 1 else f"{abs(c):g}·"
            text += (sign if text else "−" * (c < 0)) + factor + e.formula()
        return text

    def symbols(self, name: str) -> tuple[str, ...]:
        holds = [(c, e) for c, e in self.summands if name in e]
        if len(holds) == 1 and abs(holds[0][0]) == 1:
            return holds[0][1].symbols(name)
        return (f"J_{name}",)

    def gram_formula(self, name: str) -> str:
        holds = [(c, e) for c, e in self.summands if name in e]
        if len(holds) == 1 and abs(holds[0][0]) == 1:
            return holds[0][1].gram_formula(name)
        return super().gram_formula(name)

    def ambiguities(self, order: Collection[str], rest: str = "") -> Iterator[Ambiguity]:
        for i, (c, e) in enumerate(self.summands):
            others = [(-o / c, other) for j, (o, other) in enumerate(self.summands) if j != i]
            yield from e.ambiguities(order, Sum(others).bare_formula() if others else "0")


class Product(Expression):
    """``a ⊙ b``, pixel by pixel; batch size and channels of either factor may be 1."""

    def __init__(self, left: Expression, right: Expression) -> None:
        self.left, self.right = left, right
        self._remember(merged(left, right, apart=True))

    def _sides(self, name: str) -> tuple[Expression, Expression]:
        """The factor that contains an entry, and the other factor."""
        return (self.left, self.right) if name in self.left else (self.right, self.left)

    def structure(self, name: str) -> Structure:
        return Structure.PIXEL + self._sides(name)[0].structure(name)

    def shape(self, state: State) -> torch.Size:
        left, right = self.left.shape(state), self.right.shape(state)
        if left[-2:] != right[-2:] or any(
            1 not in (a, b) and a != b for a, b in zip(left[:2], right[:2], strict=True)
        ):
            raise InputError(
                f"{self.formula()} cannot combine {self.left.formula()} {tuple(left)}, "
                f"{self.right.formula()} {tuple(right)}: factors are (batch, channels, height, "
                "width) of one size; batch and channels may be 1"
            )
        return broadcast_shapes(left, right)

    def value(self, state: State) -> Tensor:
        return self.left.value(state) * self.right.value(state)

    def map(self, name: str, state: State) -> LinearMap:
        side, other = self._sides(name)
        outer = PixelDiagonal(other.value(state), side.shape(state), self.shape(state))
        return composed(outer, side.map(name, state))

    def offset(self, name: str, state: State) -> Tensor | None:
        side, other = self._sides(name)
        rest = side.offset(name, state)
        return None if rest is None else rest * other.value(state)

    def inverse(self, name: str, state: State, target: Tensor | None = None) -> Tensor | None:
        side, other = self._sides(name)
        if any(entry.role != "data" for entry in other.entries):
            return None
        return side.inverse(name, state, target)

    def formula(self) -> str:
        return f"{self.left.formula()}⊙{self.right.formula()}"

    def code(self) -> str:
        left, right = self.left.code(), self.right.code()
        left = f"({left})" if isinstance(self.left, Sum) else left
        return f"{left} * " + (f"({right})" if isinstance(self.right, (Sum, Product)) else right)

    def symbols(self, name: str) -> tuple[str, ...]:
        side, other = self._sides(name)
        return (other.formula(), *side.symbols(name))

    def gram_formula(self, name: str) -> str:
        side, other = self._sides(name)
        inner = side.symbols(name)
        left = "".join(f"{symbol}ᵀ" for symbol in reversed(inner))
        return f"{left}{other.formula()}²{''.join(inner)}"

    def ambiguities(self, order: Collection[str], rest: str) -> Iterator[Ambiguity]:
        if isinstance(self.left, Entry) and isinstance(self.right, Entry):
            if {self.left.name, self.right.name} <= set(order):
                yield scale(self.left.name, self.right.name)
        else:
            for side, other in ((self.left, self.right), (self.right, self.left)):
                if not set(other.names) & set(order):
                    yield from side.ambiguities(order, rest)


class Mapped(Expression):
    """A linear map of an expression.

    A subclass defines the map (`outer`), its structure and symbol, the shape of its result, and its
    own entries.
    """

    outer_structure: Structure
    symbol: str
    word: str
    """The function that creates it."""

    def __init__(self, of: Expression, *own: Entry) -> None:
        self.of = _expression(of, "mapped")
        self.own = own
        self._remember(merged(*own, self.of, apart=True))

    @abstractmethod
    def outer(self, state: State) -> LinearMap:
        """The map, for the shape of its argument."""

    def structure(self, name: str) -> Structure:
        return self.outer_structure + self.of.structure(name)

    def shape(self, state: State) -> torch.Size:
        return self.of.shape(state)

    def value(self, state: State) -> Tensor:
        return self.outer(state).mv(self.of.value(state))

    def map(self, name: str, state: State) -> LinearMap:
        return composed(self.outer(state), self.of.map(name, state))

    def offset(self, name: str, state: State) -> Tensor | None:
        rest = self.of.offset(name, state)
        return None if rest is None else self.outer(state).mv(rest)

    def inverse(self, name: str, state: State, target: Tensor | None = None) -> Tensor | None:
        return self.of.inverse(name, state, target) if name in self.of else None

    def symbols(self, name: str) -> tuple[str, ...]:
        return (self.symbol, *self.of.symbols(name))

    def formula(self) -> str:
        return f"{self.symbol}{self.of.formula()}"

    def code(self) -> str:
        return f"{self.word}({', '.join([*(e.name for e in self.own), self.of.code()])})"

    def ambiguities(self, order: Collection[str], rest: str) -> Iterator[Ambiguity]:
        return self.of.ambiguities(order, rest)


def merged(*parts: Expression, apart: bool = False) -> tuple[Entry, ...]:
    """The entries of several expressions.

    Raises:
        InputError: if two expressions that must be ``apart`` have a common name, in which their
            combination would not be affine; see also `consistent`.
    """
    counts = [name for part in parts for name in part.names]
    twice = [name for name in counts if apart and counts.count(name) > 1]
    if twice:
        raise InputError(
            f"{' and '.join(p.formula() for p in parts)}: a product or convolution uses "
            f"{twice[0]!r} twice, so that it is not affine in it: split it, with a new block z and "
            f"a constraint z = {twice[0]}"
        )
    return consistent(entry for part in parts for entry in part.entries)


def consistent(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The entries without duplicates. An optional entry may elsewhere be a block or data.

    Raises:
        InputError: if a name is both a block and data, is empty, or contains a full stop.
    """
    found: dict[str, Entry] = {}
    for entry in entries:
        known = found.setdefault(entry.name, entry)
        if not entry.name or "." in entry.name:
            raise InputError(f"block name {entry.name!r}: must be non-empty, without a full stop")
        if known.role == "optional":
            found[entry.name] = entry
        elif entry.role not in (known.role, "optional"):
            raise InputError(
                f"{entry.name!r} is {known.role} and {entry.role}: give one of them another name"
            )
    return tuple(found.values())


def _summands(expression: Expression) -> tuple[tuple[float, Expression], ...]:
    return expression.summands if isinstance(expression, Sum) else ((1.0, expression),)


def is_number(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, numbers.Real)


def reciprocal(number: Any, what: str) -> float:
    """``1 / number``.

    Raises:
        InputTypeError: if it is no number, or 0; ``what`` is divided by it.
    """
    if not is_number(number) or number == 0:
        raise InputTypeError(f"{what} is divided by {shown(number)}: divide by a number, not 0")
    return 1 / float(number)


def _expression(value: Any, what: str) -> Expression:
    if isinstance(value, Expression):
        return value
    from .objective import Objective

    remedy = "declare it as data, and give its value where the formula is solved"
    if is_number(value):
        remedy = "a residual is linear in its blocks: declare a constant as data"
    elif isinstance(value, Objective):
        remedy = "the expression is a residual: put it into sq(...) or constraint(...)"
    raise InputTypeError(f"{shown(value)} is {what} an expression of blocks: {remedy}")
