"""The penalties of a declared model at each stage, computed from its hyper-parameters."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor

from unfold.core import Constraint, Lagrangian, PixelDiagonal, Prior, Quadratic, State, Structure
from unfold.core.lagrangian import Multiple
from unfold.estimators import HyperParameters, NoisePowers

from .declaration import Level, PriorTerm, Weight
from .parts import make_part
from .schedule import LARGEST, balanced, places, prior_step, product_weights


def level_weight(block: str) -> str:
    """The name of the weight of a prior that has a level."""
    return f"λ_{block}"


def levels(terms: Sequence[Any]) -> dict[str, Level]:
    """Block -> the level of its prior, for the priors that have one."""
    priors = [term for term in terms if isinstance(term, PriorTerm)]
    return {t.block: level for t in priors if (level := t.noise_level) is not None}


class PartlyLearned(HyperParameters):
    """Hyper-parameters of which an estimator predicts some; the others are powers of the noise.

    Args:
        initial: ``(2, stages, count)``, see `HyperParameters`.
        learned: for each hyper-parameter, whether the estimator predicts it.
        estimator: name or spec; built only if some are learned.
    """

    def __init__(self, initial: Tensor, learned: Sequence[bool], estimator: Any) -> None:
        super().__init__()
        chosen = torch.tensor(learned, dtype=torch.bool)
        self.fixed = NoisePowers(initial[..., ~chosen], learned=False)
        predicted = initial[..., chosen]
        self.learned = make_part(HyperParameters, estimator, predicted) if any(learned) else None
        # Position of each hyper-parameter in the concatenation of the fixed and the learned ones.
        order = chosen.to(torch.int64).argsort(stable=True).argsort()
        self.register_buffer("_order", order, persistent=False)

    def forward(self, state: Mapping[str, Tensor]) -> Tensor:
        fixed = self.fixed(state)
        if self.learned is None:
            return fixed
        learned = self.learned(state)
        batch = max(len(fixed), len(learned))
        both = [part.expand(batch, -1, -1) for part in (fixed, learned)]
        return torch.cat(both, -1).index_select(-1, self._order)  # type: ignore[arg-type]


def stage_hyper_parameters(
    terms: Sequence[Any], penalties: Mapping[str, Weight], stages: int, estimator: Any
) -> tuple[tuple[str, ...], PartlyLearned]:
    """The names of a stage's hyper-parameters, and the module that predicts them.

    They are the logarithms of the penalties that are not plain numbers, and of the variances that
    correspond to the levels of priors.
    """
    varying = {name: weight for name, weight in penalties.items() if not weight.plain}
    given_levels = levels(terms)
    rows = [
        [_logarithm(weight, given_levels, place) for weight in varying.values()]
        + [level.logarithm(place) for level in given_levels.values()]
        for place in places(stages)
    ]
    learned = [part.learned for part in (*varying.values(), *given_levels.values())]
    names = (*varying, *map(level_weight, given_levels))
    initial = torch.tensor(rows).view(stages, len(names), 2).permute(2, 0, 1).contiguous()
    return names, PartlyLearned(initial, learned, estimator)


def _logarithm(
    weight: Weight, given_levels: Mapping[str, Level], place: float
) -> tuple[float, float]:
    """``(a, b)`` such that the logarithm of a weight is ``a + b log σ``."""
    constant, power = 0.0, 0.0
    if weight.balances is not None:
        constant, power = balanced(given_levels[weight.balances].logarithm(place))
    return constant + math.log(weight.value), power + weight.noise_power


class DeclaredPenalties:
    """``(hyper-parameters, state) -> penalties`` of one stage.

    If a prior has a level, its weight is chosen such that the prior's step is the step for that
    level (`Prior.step_for`), between the variance of the photo's noise and 0.25². If the diagonal d
    of the block's normal matrix is a number, the step is ``weight / d``. If d varies from pixel to
    pixel, so does the step; see `product_weights`.

    Args:
        lagrangian: Lagrangian of the stage.
        penalties: declared penalties.
    """

    def __init__(self, lagrangian: Lagrangian, penalties: Mapping[str, Weight]) -> None:
        self._lagrangian = lagrangian
        self._plain = {name: w.value for name, w in penalties.items() if w.plain}
        self._powers = [n for n, w in penalties.items() if not w.plain and not w.bounds]
        self._bounds = {w.bounds: name for name, w in penalties.items() if w.bounds}

    def __call__(
        self, values: Mapping[str, Tensor], state: Mapping[str, Tensor]
    ) -> dict[str, Tensor | float]:
        state = State(state)
        made: dict[str, Any] = {**self._plain, **{n: values[n].exp() for n in self._powers}}
        given = {b: n for b in self._lagrangian.priors if (n := level_weight(b)) in values}
        # (Factors of products come first: their bounds are penalties that other blocks use, too.)
        for block, name in given.items():
            if (bound := self._bounds.get(block)) is not None:
                step = self._step(values[name], block, state, LARGEST / 2)
                ratio = values[bound].exp()
                made[name], made[bound] = self._of_factor(block, step, ratio, state, made, bound)
        for block, name in given.items():
            if block not in self._bounds:
                step = self._step(values[name], block, state, LARGEST)
                made[name] = step * reduce(add, self._diagonals(block, state, made))
        return made

    def _step(self, logarithm: Tensor, block: str, state: State, largest: float) -> Tensor:
        # (Read at each call, because the prior may be replaced.)
        prior: Prior = self._lagrangian.priors[block]  # type: ignore[assignment]
        return prior_step(logarithm, state["noise"], prior.step_for, largest)

    def _of_factor(
        self, block: str, step: Tensor, ratio: Tensor, state: State, made: dict, bound: str
    ) -> tuple[Tensor, Tensor]:
        """The weight of the prior on a factor of a product, and the penalty that bounds it."""
        fits, channels = [], 1
        for term, operator in self._operators(block, state, Structure.PIXEL):
            fits.append(_weight(term, made))
            channels = max(channels, operator.codomain.numel() // operator.domain.numel())
        weight, penalty = product_weights(step, reduce(add, fits), ratio, channels)
        others = self._diagonals(block, state, made, apart_from=bound)
        return weight + step * reduce(add, others) if others else weight, penalty

    def _diagonals(self, block: str, state: State, made: dict, apart_from: str = "") -> list[Any]:
        """The diagonal entries of a block's normal matrix, from each term that is uniform in it."""
        found = []
        for term, operator in self._operators(block, state, Structure.SCALAR):
            if _name(term) != apart_from:
                entry = operator.gram_diagonal()
                scale = entry.amax((1, 2, 3), keepdim=True) if isinstance(entry, Tensor) else entry
                found.append(_weight(term, made) * scale)
        return found

    def _operators(
        self, block: str, state: State, structure: Structure
    ) -> Iterator[tuple[Quadratic | Constraint, PixelDiagonal]]:
        for term in (*self._lagrangian.quadratics, *self._lagrangian.constraints):
            if term.residual.blocks.get(block) is structure:
                yield term, term.residual.operator(block, state)  # type: ignore[misc]


def _name(term: Quadratic | Constraint) -> str | float:
    name = term.penalty if isinstance(term, Constraint) else term.weight
    assert not isinstance(name, Multiple)  # (a declaration names plain penalties)
    return name


def _weight(term: Quadratic | Constraint, made: Mapping[str, Any]) -> Any:
    name = _name(term)
    return made[name] if isinstance(name, str) else name
