"""An objective unrolled to a network, and split so that its priors have blocks of their own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from torch import Tensor, nn

from .affine import Affine
from .cg import CG
from .expression import Entry
from .lagrangian import Lagrangian
from .objective import Belief, Objective, Penalty, Term, Tie
from .operators import Structure
from .penalties import LearnedPenalties
from .solution import read_values, started
from .steps import lower
from .unroll import Stage, Unrolled


class Network(nn.Module):
    """K rounds of the updates of an objective; see `Objective.unroll`.

    Attributes:
        stages: the rounds, from state to state.
        output: the block that is returned.
    """

    def __init__(
        self,
        objective: Objective,
        K: int,
        *,
        output: str,
        start: Mapping[Any, Any],
        tied: bool,
        order: Sequence[str] | None,
        penalties: Mapping[str, float],
        cg: CG | None,
    ) -> None:
        super().__init__()
        if K < 1:
            raise ValueError(f"K={K}: a network has at least one round")
        if output not in objective.blocks:
            raise ValueError(
                f"output={output!r} is no block; blocks are {', '.join(objective.blocks)}"
            )
        unknown = [name for name in penalties if name not in objective.penalties]
        if unknown:
            raise ValueError(
                f"{', '.join(unknown)} is no penalty of the objective; penalties are "
                f"{', '.join(objective.penalties) or 'none'}"
            )
        self.objective, self.output, self.start = objective, output, dict(start)
        initial = {name: penalties.get(name, 1.0) for name in objective.penalties}
        names = objective.order if order is None else order

        def stage(lagrangian: Lagrangian) -> Stage:
            return Stage(lower(lagrangian, names, cg), LearnedPenalties(initial))

        first = objective.lagrangian
        if tied:
            self.stages = Unrolled(stage(first), repeat=K)
        else:
            self.stages = Unrolled([stage(copy.deepcopy(first)) for _ in range(K)])

    def forward(self, **data: Tensor) -> Tensor:
        """The output block after the last round, for data by name."""
        values, _ = read_values(self.objective, data)
        return self.stages(started(self.objective, values, self.start))[self.output]

    def explain(self) -> str:
        """The objective and its updates."""
        return self.objective.explain()


def splits(objective: Objective, penalty: Penalty) -> tuple[Term, ...]:
    """The terms, each prior on a block that a division solves for (see `Objective.split`)."""
    # Those on expressions first: their constraints change the normal matrices of the blocks.
    held = set[str]()
    split = _split(objective.terms, penalty, lambda term: isinstance(term.on, Entry))
    structures = _structures(split)
    return _split(split, penalty, lambda term: _is_direct(term, structures, held))


def _split(
    terms: Sequence[Term], penalty: Penalty, keeps: Callable[[Belief], bool]
) -> tuple[Term, ...]:
    """The terms, those priors that are not kept on new blocks, tied to what they were on."""
    taken = {entry.name for term in terms for entry in term.entries}
    names = (name for i in count(1) if (name := f"z{i}") not in taken)
    made: list[Term] = []
    for term in terms:
        if not isinstance(term, Belief) or keeps(term):
            made.append(term)
        else:
            block = Entry(next(names))
            made += [Tie(Affine(term.on - block), penalty), replace(term, on=block)]
    return tuple(made)


def _structures(terms: Sequence[Term]) -> Mapping[str, Structure]:
    """Block -> structure of its normal matrix, priors left out."""
    affine = [t.lowered(f"dual{i}") for i, t in enumerate(terms) if not isinstance(t, Belief)]
    return Lagrangian(*affine).structures if affine else {}


def _is_direct(term: Belief, structures: Mapping[str, Structure], held: set[str]) -> bool:
    """Whether a prior can act on the block that it is put on; the block is then held."""
    name = term.on.names[0]
    structure = structures.get(name)
    diagonal = structure is Structure.PIXEL and term.prior.accepts_map
    if name in held or not (structure is Structure.SCALAR or diagonal):
        return False
    held.add(name)
    return True
