"""The solution of an objective: initial values of its blocks, and the end of the iteration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from unfold.errors import InputError, InputTypeError

from .affine import Affine
from .cg import CG
from .expression import Entry
from .history import History
from .inputs import check_image, shown
from .state import State
from .steps import lower
from .unroll import Stage, converge

if TYPE_CHECKING:
    from .objective import Objective


@dataclass(frozen=True)
class Solution:
    """The result of an iteration.

    Attributes:
        state: every block, dual and data.
        converged: whether every residual was below the tolerance.
        history: history of every tenth round, in which the residuals were computed.
    """

    state: Mapping[str, Tensor]
    converged: bool
    history: History

    def __getitem__(self, block: Entry | str) -> Tensor:
        """The value of a block, ``(B, C, H, W)``."""
        return self.state[block.name if isinstance(block, Entry) else block]


@torch.no_grad()
def solve(
    objective: Objective,
    start: Entry | Mapping[Any, Any],
    order: Sequence[str] | None,
    tolerance: float,
    maximum: int,
    cg: CG | None,
    values: Mapping[str, Tensor | float],
) -> Solution:
    """See `Objective.solve`."""
    data, penalties = read_values(objective, values)
    for name, value in data.items():
        if not value.isfinite().all():
            raise InputError(f"{name} has NaN or infinite values: replace them")
    lacking = [name for name in objective.penalties if name not in penalties]
    if lacking:
        raise InputError(
            f"the penalty {', '.join(lacking)} has no value: give solve({lacking[0]}=0.1, ...)"
        )
    state = started(objective, data, read_start(objective, start))
    steps = lower(objective.lagrangian, objective.order if order is None else order, cg)
    stage = Stage(steps, penalties)
    last, history = converge(stage, state, tolerance=tolerance, maximum=maximum, every=10)
    return Solution(last, history.converged(tolerance), history)


def read_values(
    objective: Objective, values: Mapping[str, Tensor | float]
) -> tuple[dict[str, Tensor], dict[str, Tensor | float]]:
    """The values of the data, and those of the penalties.

    Raises:
        InputError: if a name is neither, or data is missing or is not an image.
    """
    unknown = [n for n in values if n not in objective.data and n not in objective.penalties]
    if unknown:
        raise InputError(
            f"{', '.join(map(repr, unknown))} is neither data nor a penalty of the objective; data "
            f"are {', '.join(objective.data) or 'none'}, penalties are "
            f"{', '.join(objective.penalties) or 'none'}"
        )
    lacking = [name for name in objective.data if name not in values]
    if lacking:
        raise InputError(f"the data {', '.join(lacking)} has no value: give {lacking[0]}=tensor")
    data = {name: check_image(name, values[name]) for name in objective.data}
    return data, {n: v for n, v in values.items() if n in objective.penalties}


def read_start(objective: Objective, start: Any) -> dict[str, Tensor | Entry]:
    """The given initial value of each block: a tensor or data.

    Raises:
        InputTypeError: if it is neither data nor a mapping.
        InputError: if a start is given for another name, or it is neither an image nor data.
    """
    start = dict.fromkeys(objective.blocks, start) if isinstance(start, Entry) else start
    if not isinstance(start, Mapping):
        raise InputTypeError(
            f"start must be data, such as y, or a mapping from blocks to data or tensors, got "
            f"{shown(start)}"
        )
    given: dict[str, Tensor | Entry] = {}
    for key, value in cast(Mapping[Any, Any], start).items():
        block = key.name if isinstance(key, Entry) else key
        if block not in objective.blocks:
            raise InputError(
                f"a start is given for {block!r}, which is no block; blocks are "
                f"{', '.join(objective.blocks)}"
            )
        if not isinstance(value, Entry):
            value = check_image(f"the start of {block}", value)
        elif value.name not in objective.data:
            raise InputError(
                f"the start of {block} is {value.name}, which is no data of the objective; data "
                f"are {', '.join(objective.data) or 'none'}"
            )
        given[block] = value
    return given


def started(
    objective: Objective, data: Mapping[str, Tensor], start: Mapping[str, Tensor | Entry]
) -> dict[str, Tensor]:
    """The data, and the initial value of each block: the given one, or one from a residual.

    Raises:
        InputError: if no residual determines a block.
    """
    state = dict(data)
    for block, value in start.items():
        state[block] = state[value.name] if isinstance(value, Entry) else value
    expressions = [
        term.residual.expression
        for term in (*objective.lagrangian.quadratics, *objective.lagrangian.constraints)
        if isinstance(term.residual, Affine)
    ]
    while lacking := [block for block in objective.blocks if block not in state]:
        placed = _placed(expressions, state)
        if not placed:
            raise InputError(
                f"no residual determines the start of {', '.join(lacking)}: give "
                f"start={{{lacking[0]}: tensor}}, or data to start from"
            )
        state |= placed
    return state


def _placed(expressions: Sequence[Any], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The first block whose value a residual determines from all its other entries."""
    known = State(state)
    for expression in expressions:
        unknown = [name for name in expression.names if name not in known]
        if len(unknown) == 1:
            value = expression.inverse(unknown[0], known)
            if value is not None:
                return {unknown[0]: value}
    return {}
