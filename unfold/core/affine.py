"""The residual of an expression."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from unfold.errors import InputError

from .ambiguity import Ambiguity
from .expression import Entry, Expression, Sum
from .normal import add_scaled, times
from .operators import FourierDiagonal, LinearMap
from .residual import Residual
from .state import State


class Affine(Residual):
    """``r = e``: a residual given as an expression.

    The structure of its normal matrix in each block follows from the maps that are applied to the
    block: ``conv(k, x) + e − y`` is Fourier-diagonal in x and scalar in e. Quantities that do not
    change, such as the spectrum of an observation, are computed once.

    Args:
        expression: affine in each of its blocks.

    Raises:
        InputError: if no entry is a block.

    Example:
        >>> from unfold.core.expression import Entry
        >>> from unfold.core import Affine
        >>> residual = Affine(Entry("Z") - Entry("P") * Entry("Q"))
        >>> {name: structure.value for name, structure in residual.blocks.items()}
        {'Z': 'scalar', 'P': 'pixel-diagonal', 'Q': 'pixel-diagonal'}
    """

    def __init__(self, expression: Expression) -> None:
        total = expression if isinstance(expression, Sum) else Sum([(1.0, expression)])
        roles = {role: [e.name for e in total.entries if e.role == role] for role in _ROLES}
        if not (roles["block"] or roles["optional"]):
            raise InputError(
                f"{total.bare_formula()} has no block, only data: declare the unknowns as blocks"
            )
        structures = {name: total.structure(name) for name in total.names}
        super().__init__(
            {name: structures[name] for name in roles["block"]},
            [*roles["optional"], *roles["data"]],
            {name: structures[name] for name in roles["optional"]},
        )
        self.expression = total
        self._text = total.bare_formula()
        self._fitting: set[tuple[torch.Size, ...]] = set()

    def forward(self, state: Mapping[str, Tensor]) -> Tensor:
        # (A step's own state keeps what is derived here.)
        state = state if isinstance(state, State) else State(state)
        self.check_shapes(state)
        return self.expression.value(state)

    def operator(self, block: str, state: State) -> LinearMap:
        return self.expression.map(block, state)

    def offset(self, block: str, state: State) -> Tensor:
        return self._offset(block, state, 1.0)

    def rhs_quadratic(self, block: str, state: State, operator: LinearMap) -> Tensor:
        def pulled() -> Tensor:
            return operator.pull(self._offset(block, state, -operator.sign))

        if not isinstance(operator, FourierDiagonal):
            return pulled()
        sources = tuple(name for name in self.expression.names if name != block)
        name = f"−Jᵀc of {block} in {self._text} on {tuple(operator.domain)}"
        return state.derive(name, sources, pulled)

    def rhs_constraint(
        self, block: str, state: State, operator: LinearMap, dual: Tensor, weight: Tensor | float
    ) -> Tensor:
        # −Jᵀ(Γ + w c), with J = ±K: Kᵀ(w (∓c) ∓ Γ).
        offset = self.expression.signed(state, -operator.sign, without=block)
        if offset is None:
            pulled = -dual if operator.sign > 0 else dual
        elif operator.sign < 0:
            pulled = add_scaled(dual, weight, offset)
        else:
            pulled = times(weight, offset) - dual
        return operator.pull(pulled)

    def _offset(self, block: str, state: State, sign: float) -> Tensor:
        offset = self.expression.signed(state, sign, without=block)
        if offset is None:
            return state[block].new_zeros(self.expression.shape(state))
        return offset

    def check_shapes(self, state: State) -> None:
        shapes = tuple(state[name].shape for name in self.expression.names)
        if torch.compiler.is_compiling() or shapes not in self._fitting:
            self.expression.shape(state)
            self._fitting.add(shapes)

    def ambiguities(self, order: Collection[str]) -> Sequence[Ambiguity]:
        return tuple(self.expression.ambiguities(order))

    @property
    def equated(self) -> tuple[str, ...]:
        summands = self.expression.summands
        plain = all(abs(c) == 1 and isinstance(e, Entry) for c, e in summands)
        opposed = plain and len(summands) == 2 and summands[0][0] != summands[1][0]
        return tuple(self.blocks) if opposed and len(self.blocks) == 2 else ()

    def formula(self) -> str:
        return self._text

    def gram_formula(self, block: str) -> str:
        return self.expression.gram_formula(block)


_ROLES = ("block", "optional", "data")


class Equal(Affine):
    """``r = x − y``: the residual of a split, which a constraint sets to zero.

    Args:
        left: block ``x``.
        right: block ``y``. Either block may have one channel.

    Example:
        >>> import torch
        >>> from unfold.core import Equal
        >>> color, gray = torch.full((1, 3, 1, 1), 0.75), torch.full((1, 1, 1, 1), 0.5)
        >>> Equal("x", "z")({"x": color, "z": gray}).flatten()
        tensor([0.2500, 0.2500, 0.2500])
    """

    def __init__(self, left: str, right: str) -> None:
        self.left, self.right = left, right
        super().__init__(different(Entry(left), Entry(right)))


def different(*entries: Entry) -> Expression:
    """The first entry minus the second; they must have different names."""
    one, other = entries
    if one.name == other.name:
        raise InputError(f"a residual uses {one.name!r} twice: each entry needs a name of its own")
    return one - other
