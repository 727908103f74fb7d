"""An objective as an unrolled network, and the splits that give its priors blocks of their own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from torch import Tensor, nn

from unfold.errors import InputError

from .affine import Affine
from .cg import CG
from .expression import Entry
from .lagrangian import Lagrangian
from .objective import Equality, Objective, Penalty, PriorOn, Term
from .operators import Structure
from .penalties import LearnedPenalties
from .size import check_size
from .solution import read_start, read_values, started
from .steps import lower
from .unroll import Stage, Unrolled, check_count


class Network(nn.Module):
    """The rounds of an objective's updates as a network; see `Objective.unroll` and
    `Objective.equilibrium`.

    Attributes:
        stages: the rounds, a map from state to state.
        output: the block that is returned.

    Raises:
        InputError: if the output is not a block.
    """

    def __init__(
        self,
        objective: Objective,
        stages: nn.Module,
        *,
        output: str,
        start: Entry | Mapping[Any, Any],
    ) -> None:
        super().__init__()
        if output not in objective.blocks:
            raise InputError(
                f"output={output!r} is no block; blocks are {', '.join(objective.blocks)}"
            )
        self.objective, self.output = objective, output
        self.start = read_start(objective, start)
        self.stages = stages

    def forward(self, **data: Tensor) -> Tensor:
        """The output block after the last round; the arguments are the data by name."""
        values, _ = read_values(self.objective, data)
        return self.stages(started(self.objective, values, self.start))[self.output]

    def explain(self) -> str:
        """The objective and its updates."""
        return self.objective.explain()


def unrolled(objective: Objective, K: int, *, tied: bool, **options: Any) -> Unrolled:
    """K rounds; the options are those of `learned_stage`."""
    check_count("K, the number of rounds,", K)
    first = objective.lagrangian
    if tied:
        return Unrolled(learned_stage(objective, first, **options), repeat=K)
    parameters = sum(p.numel() for p in first.parameters())
    check_size(K * parameters, f"{K} untied rounds", modules=K * len(list(first.modules())))
    copies = [copy.deepcopy(first) for _ in range(K)]
    return Unrolled([learned_stage(objective, own, **options) for own in copies])


def learned_stage(
    objective: Objective,
    lagrangian: Lagrangian,
    *,
    order: Sequence[str] | None,
    penalties: Mapping[str, float],
    cg: CG | None,
) -> Stage:
    """One round of an objective's Lagrangian, or of a copy of it, with learned penalties."""
    unknown = [name for name in penalties if name not in objective.penalties]
    if unknown:
        raise InputError(
            f"{', '.join(unknown)} is no penalty of the objective; penalties are "
            f"{', '.join(objective.penalties) or 'none'}"
        )
    initial = {name: penalties.get(name, 1.0) for name in objective.penalties}
    steps = lower(lagrangian, objective.order if order is None else order, cg)
    return Stage(steps, LearnedPenalties(initial))


def splits(objective: Objective, penalty: Penalty) -> tuple[Term, ...]:
    """The terms, with each prior on a block that a division solves (see `Objective.split`)."""
    # Priors on expressions first: their constraints change the normal matrices of the blocks.
    held = set[str]()
    split = _split(objective.terms, penalty, lambda term: isinstance(term.on, Entry))
    structures = _structures(split)
    return _split(split, penalty, lambda term: _is_direct(term, structures, held))


def _split(
    terms: Sequence[Term], penalty: Penalty, keeps: Callable[[PriorOn], bool]
) -> tuple[Term, ...]:
    """The terms, with new blocks for the priors that are not kept, and constraints for them."""
    taken = {entry.name for term in terms for entry in term.entries}
    names = (name for i in count(1) if (name := f"z{i}") not in taken)
    made: list[Term] = []
    for term in terms:
        if not isinstance(term, PriorOn) or keeps(term):
            made.append(term)
        else:
            block = Entry(next(names))
            made += [Equality(Affine(term.on - block), penalty), replace(term, on=block)]
    return tuple(made)


def _structures(terms: Sequence[Term]) -> Mapping[str, Structure]:
    """Block -> structure of its normal matrix, without priors."""
    affine = [t.lowered(f"dual{i}") for i, t in enumerate(terms) if not isinstance(t, PriorOn)]
    return Lagrangian(*affine).structures if affine else {}


def _is_direct(term: PriorOn, structures: Mapping[str, Structure], held: set[str]) -> bool:
    """Whether a prior can be applied to its block; the block is then added to ``held``."""
    name = term.on.names[0]
    structure = structures.get(name)
    diagonal = structure is Structure.PIXEL and term.prior.accepts_map
    if name in held or not (structure is Structure.SCALAR or diagonal):
        return False
    held.add(name)
    return True
