"""The augmented Lagrangian: terms, constraints and priors, and the normal equations they imply."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from unfold.errors import InputError, InputTypeError

from .normal import Normal, add_scaled
from .operators import Structure
from .prior import Prior
from .residual import Residual, pull
from .state import MissingEntryError, State


@dataclass(frozen=True)
class Multiple:
    """A named weight times a number."""

    factor: float
    name: str

    def __str__(self) -> str:
        return f"{self.factor:g}·{self.name}"


Weight = str | float | Multiple
Penalties = Mapping[str, Tensor | float]


@dataclass(frozen=True, eq=False)
class Quadratic:
    """``w/2 ‖r‖²``. ``weight`` is a number >= 0, or the name of one in ``penalties``.

    Example:
        >>> import torch
        >>> from unfold.core import Equal, Lagrangian, Quadratic
        >>> lagrangian = Lagrangian(Quadratic(Equal("x", "y"), weight="w"))
        >>> x, y = torch.tensor([3.0, 1.0]).view(2, 1, 1, 1, 1)
        >>> lagrangian.values({"x": x, "y": y}, {"w": 0.5})
        tensor([1.])
    """

    residual: Residual
    weight: Weight = 1.0

    def __post_init__(self) -> None:
        _check_term("Quadratic", self.residual, Residual, self.weight, least=0)


@dataclass(frozen=True, eq=False)
class Constraint:
    """``r = 0``, as ``⟨Γ, r⟩ + ρ/2 ‖r‖²``. ``penalty`` ρ is positive, ``dual`` names Γ.

    Example:
        >>> from unfold.core import Constraint, Equal, Lagrangian
        >>> lagrangian = Lagrangian(Constraint(Equal("x", "z"), penalty="rho", dual="D"))
        >>> list(lagrangian.blocks), list(lagrangian.duals)
        (['x', 'z'], ['D'])
    """

    residual: Residual
    penalty: Weight
    dual: str

    def __post_init__(self) -> None:
        _check_term("Constraint", self.residual, Residual, self.penalty, least=None)


@dataclass(frozen=True, eq=False)
class Regularizer:
    """``w · g(x)`` for one block ``x``.

    Example:
        >>> from unfold.core import Equal, Lagrangian, Quadratic, Regularizer
        >>> from unfold.priors import TotalVariation
        >>> prior = Regularizer("x", TotalVariation(), weight=0.1)
        >>> print(Lagrangian(Quadratic(Equal("x", "y")), prior).explain(("x",)).splitlines()[5])
        x       1              scalar  prox of TotalVariation at b/d, step 0.1/d
    """

    block: str
    prior: Prior
    weight: Weight = 1.0

    def __post_init__(self) -> None:
        _check_term("Regularizer", self.prior, Prior, self.weight, least=0)


Term = Quadratic | Constraint | Regularizer


class Lagrangian(nn.Module):
    """A sum of quadratic terms, constraints and priors over named blocks.

    Problem::

        min Σ w/2 ‖r_i‖² + Σ w g_b(x_b)   subject to   r_j = 0

    where every residual is affine in each block taken alone (also bilinear residuals, such as a
    Retinex split). `lower` derives the update of every block.

    Args:
        terms: any number of `Quadratic`, `Constraint` and `Regularizer`.

    Raises:
        InputTypeError: if a term is none of these.
        InputError: if a dual has the name of another dual or of a block, a prior is on a name that
            is in no residual, or two priors are on one block.

    Example:
        >>> from unfold.core import Constraint, Equal, Lagrangian, Quadratic, Regularizer
        >>> from unfold.priors import TotalVariation
        >>> from unfold.terms import Convolution
        >>> lagrangian = Lagrangian(
        ...     Quadratic(Convolution("x", kernel="k", observed="y")),
        ...     Constraint(Equal("x", "z"), penalty="rho", dual="D"),
        ...     Regularizer("z", TotalVariation(), 0.01),
        ... )
        >>> list(lagrangian.duals), [kind.value for kind in lagrangian.blocks.values()]
        (['D'], ['Fourier-diagonal', 'scalar', 'scalar'])
    """

    def __init__(self, *terms: Term) -> None:
        super().__init__()
        self.terms = terms
        self.quadratics = tuple(t for t in terms if isinstance(t, Quadratic))
        self.constraints = tuple(t for t in terms if isinstance(t, Constraint))
        self.regularizers = {t.block: t for t in terms if isinstance(t, Regularizer)}
        _check(self)
        # The terms are plain records: their modules are registered here, so that their parameters
        # are found.
        self.residuals = nn.ModuleList(t.residual for t in self._affine())
        self.priors = nn.ModuleDict({b: t.prior for b, t in self.regularizers.items()})

    def _affine(self) -> Iterator[Quadratic | Constraint]:
        return (t for t in self.terms if not isinstance(t, Regularizer))

    @property
    def blocks(self) -> dict[str, Structure]:
        """Every block of a residual or a prior -> the structure of its normal matrix. Optional
        blocks that are in no other term are data and omitted."""
        named = [block for term in self._affine() for block in term.residual.blocks]
        structures = self.structures
        names = dict.fromkeys([*named, *self.regularizers])
        return {name: structures[name] for name in names if name in structures}

    @property
    def structures(self) -> dict[str, Structure]:
        """Every name that can be in the order, except duals -> the structure of its normal matrix:
        the blocks, and the optional blocks of every residual."""
        parts: dict[str, list[Structure]] = {}
        for term in self._affine():
            residual = term.residual
            for block, structure in (residual.blocks | residual.optional_blocks).items():
                parts.setdefault(block, []).append(structure)
        return {block: reduce(add, structures) for block, structures in parts.items()}

    @property
    def duals(self) -> dict[str, Constraint]:
        """Dual name -> its constraint."""
        return {c.dual: c for c in self.constraints}

    def values(self, state: Mapping[str, Tensor], penalties: Penalties) -> Tensor:
        """The augmented Lagrangian of each image, ``(B,)``.

        Priors with an unknown ``g`` (learned priors) are omitted.
        """
        state = State(state)
        total: Tensor | None = None
        for term in self.terms:
            value = self._term(term, state, penalties)
            if value is not None:
                total = value if total is None else total + value
        assert total is not None
        return total

    def value(self, state: Mapping[str, Tensor], penalties: Penalties) -> Tensor:
        """The augmented Lagrangian, summed over the batch: a scalar that can be differentiated."""
        return self.values(state, penalties).sum()

    def _term(self, term: Term, state: State, penalties: Penalties) -> Tensor | None:
        if isinstance(term, Regularizer):
            value = term.prior.at(state).value(state[term.block])
            if value is None:
                return None
            weight = weight_of(term, penalties, value.dtype)
            return (weight.flatten() if isinstance(weight, Tensor) else weight) * value
        r = term.residual(state)
        energy = weight_of(term, penalties, r.dtype) / 2 * r.square()
        if isinstance(term, Constraint):
            energy = energy + state[term.dual] * r
        return energy.sum((1, 2, 3))

    def normal(
        self,
        block: str,
        state: State,
        penalties: Penalties,
        without_penalty: frozenset[str] = frozenset(),
        *,
        right_side: bool = True,
    ) -> Normal:
        """The normal equations of one block, without its prior.

        Args:
            block: a block of some residual, optional or not.
            state: all other entries, and the block itself, whose shape is used.
            penalties: name -> positive number or tensor ``()``, ``(1 or B, 1, 1, 1)``.
            without_penalty: duals whose constraint contributes ``⟨Γ, r⟩`` without its penalty.
            right_side: whether to compute ``b``, which a solver that starts from `descent` does not
                use.
        """
        normal = Normal(state[block])
        for term in self._affine():
            residual = term.residual
            if residual.structure(block) is None:
                continue
            residual.check_shapes(state)
            operator = residual.operator(block, state)
            if isinstance(term, Constraint) and term.dual in without_penalty:
                normal.add_rhs(-1.0, pull(operator, state[term.dual]))
                continue
            weight = weight_of(term, penalties, normal.dtype)
            normal.add(weight, operator)
            if not right_side:
                continue
            if isinstance(term, Quadratic):
                normal.add_rhs(weight, residual.rhs_quadratic(block, state, operator))
            else:
                dual = state[term.dual]
                normal.add_rhs(1.0, residual.rhs_constraint(block, state, operator, dual, weight))
        return normal

    def descent(self, block: str, state: State, penalties: Penalties) -> Tensor:
        """``−Σ Jᵀ(w r + Γ)``: the negative gradient in one block, without its prior.

        It equals ``b − A x`` of `normal`, but its rounding error is relative to the residuals, not
        to the image. Near the minimizer the residuals are small; in ``b − A x`` the
        preconditioner would amplify errors of ``A x`` by the condition number.
        """
        total: Tensor | None = None
        for term in self._affine():
            residual = term.residual
            if residual.structure(block) is None:
                continue
            r = residual(state)
            y: Tensor = weight_of(term, penalties, r.dtype) * r
            if isinstance(term, Constraint):
                y = y + state[term.dual]
            total = add_scaled(total, -1.0, residual.operator(block, state).adjoint(y))
        assert total is not None
        return total

    def start(self, state: Mapping[str, Tensor]) -> State:
        """The state with every missing dual set to zeros of its residual's shape."""
        state = State(state)
        for dual, constraint in self.duals.items():
            if dual not in state:
                constraint.residual.check_shapes(state)
                with torch.no_grad():
                    zeros = torch.zeros_like(constraint.residual(state))
                state = state.replace(dual, zeros)
        return state

    def check_order(self, names: Sequence[str]) -> None:
        """Check that all names are blocks or duals.

        Raises:
            InputError: lists the other names, and the blocks and duals.
        """
        blocks, duals = self.structures, self.duals
        unknown = [name for name in names if name not in blocks and name not in duals]
        if unknown:
            raise InputError(
                f"order names {', '.join(map(repr, unknown))}, neither block nor dual; blocks are "
                f"{', '.join(blocks)}, duals are {', '.join(duals) or 'none'}"
            )

    def explain(self, order: Sequence[str] | None = None) -> str:
        """Describe the objective, each block's normal matrix, its solver and the reason for it."""
        from .explain import explain

        return explain(self, order)


def weight_of(
    term: Term, penalties: Penalties, dtype: torch.dtype, *, map_allowed: bool = False
) -> Tensor | float:
    """The weight or penalty of a term: a number, or a tensor ``()`` or ``(1 or B, 1, 1, 1)``.

    Args:
        map_allowed: whether the weight may be a map ``(1 or B, 1, H, W)``: that of a prior that
            accepts a step for each pixel.

    Raises:
        MissingEntryError: if its name is not in ``penalties``.
        InputError: if a number is negative, zero (for a penalty) or not finite, or a tensor varies
            from pixel to pixel or from channel to channel. (Values of tensors are not checked: on a
            GPU this would wait for the device.)
    """
    name = term.penalty if isinstance(term, Constraint) else term.weight
    if isinstance(name, Multiple):
        weight = weight_of(_named(term, name.name), penalties, dtype, map_allowed=map_allowed)
        return name.factor * weight
    if isinstance(name, str) and name not in penalties:
        have = ", ".join(sorted(penalties)) or "nothing"
        raise MissingEntryError(
            f"penalties lack {name!r}; they have {have}: add a positive number under that name"
        )
    weight = penalties[name] if isinstance(name, str) else name
    if not isinstance(weight, Tensor):
        least = None if isinstance(term, Constraint) else 0
        check_number(weight, f"the penalty {name!r}", least)
        return float(weight)
    if weight.ndim == 0:
        return weight  # a number does not affect type promotion
    is_map = map_allowed and weight.shape[1:2] == (1,)
    if weight.ndim == 4 and (is_map or weight.shape[1:] == (1, 1, 1)):
        return weight.to(dtype)
    raise InputError(
        f"the penalty {name!r} has shape {tuple(weight.shape)}: must be a number, () or "
        "(batch or 1, 1, 1, 1), the same for every channel and pixel"
    )


def _named(term: Term, name: str) -> Term:
    """The same term, with a plain name as its weight."""
    field = "penalty" if isinstance(term, Constraint) else "weight"
    return replace(term, **{field: name})


def check_number(weight: object, what: str, least: float | None) -> None:
    """Check that a weight is a finite number, at least ``least``, or positive for None."""
    number = isinstance(weight, (int, float)) and math.isfinite(weight)
    if not number or weight < 0 or (least is None and weight == 0):  # type: ignore[operator]
        wanted = "positive" if least is None else f"at least {least:g}"
        raise InputError(f"{what} is {weight!r}: must be a finite number, {wanted}")


def _check_term(kind: str, part: object, wanted: type, weight: object, least: float | None) -> None:
    if not isinstance(part, wanted):
        raise InputTypeError(
            f"{kind} takes a {wanted.__name__}, got {type(part).__name__} {part!r:.40}"
        )
    if not isinstance(weight, str):
        number = weight.factor if isinstance(weight, Multiple) else weight
        check_number(number, f"the weight of a {kind}", least)


def _check(lagrangian: Lagrangian) -> None:
    terms = lagrangian.terms
    for term in terms:
        wanted = (Quadratic, Constraint, Regularizer)
        if not isinstance(term, wanted):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InputTypeError(
                f"a Lagrangian is made of Quadratic, Constraint and Regularizer, got "
                f"{type(term).__name__}"
            )
    blocks = lagrangian.structures
    if not lagrangian.blocks:
        raise InputError(
            "there are only priors: add at least one square, sq(...), or constraint(...) of the "
            "blocks"
        )
    duals = [c.dual for c in lagrangian.constraints]
    for dual in duals:
        if duals.count(dual) > 1:
            raise InputError(f"two constraints share the dual {dual!r}: name each its own")
        if dual in blocks:
            raise InputError(f"{dual!r} names both a block and a dual: rename one")
    regularized = [t.block for t in terms if isinstance(t, Regularizer)]
    for block in regularized:
        if hasattr(nn.ModuleDict(), block):
            raise InputError(
                f"a block with a prior cannot be called {block!r}: torch uses this name"
            )
        if block not in blocks:
            raise InputError(
                f"a prior is put on {block!r}, which no residual has; blocks are "
                f"{', '.join(blocks)}"
            )
        if regularized.count(block) > 1:
            raise InputError(
                f"two priors are put on {block!r}: put the second on a new block {block}_2, with "
                f'constraint({block} - {block}_2, "rho"); Objective.split() does so'
            )
