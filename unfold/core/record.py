"""An objective as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from unfold.errors import InputError

from .affine import Affine
from .lagrangian import Multiple
from .objective import Equality, Objective, PriorOn, Term
from .residual import Residual


def as_dict(objective: Objective) -> dict[str, Any]:
    """See `Objective.to_dict`."""
    return {
        "terms": [_term(term, f"dual{i}") for term, i in _counted(objective)],
        "order": list(objective.order),
        "data": list(objective.data),
    }


def _counted(objective: Objective) -> Iterator[tuple[Term, int]]:
    count = 0
    for term in objective.terms:
        count += isinstance(term, Equality)
        yield term, count


def _term(term: Term, dual: str) -> dict[str, Any]:
    lowered = term.lowered(dual)
    if isinstance(term, PriorOn):
        if term.spec is None:
            raise InputError(
                f"the prior on {lowered.block} has no name, or a bound that is not finite, and "  # type: ignore[union-attr]
                "cannot be written down: create it by unfold.prior(name, ...), with finite bounds"
            )
        return {"prior": dict(term.spec), "block": term.on.code(), "weight": _plain(lowered.weight)}  # type: ignore[union-attr]
    residual = cast(Residual, lowered.residual)  # type: ignore[union-attr]
    if not isinstance(residual, Affine):
        raise InputError(
            f"the residual {residual.formula()} is no formula, and cannot be written down"
        )
    code = residual.expression.code()
    if isinstance(term, Equality):
        return {"constraint": code, "penalty": _plain(lowered.penalty), "dual": lowered.dual}  # type: ignore[union-attr]
    return {"quadratic": code, "weight": _plain(lowered.weight)}  # type: ignore[union-attr]


def _plain(weight: str | float | Multiple) -> str | float:
    if isinstance(weight, Multiple):
        return f"{weight.factor!r}*{weight.name}"
    return weight
