"""Assembly of the stages of unrolled models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from unfold.core import (
    CG,
    Lagrangian,
    Prior,
    Residual,
    Stage,
    State,
    Step,
    Structure,
    Unrolled,
    lower,
)
from unfold.core.lagrangian import Penalties
from unfold.core.size import check_size
from unfold.imaging.boundary import MULTIPLE, Frame, pad_periodic
from unfold.restorer import Restorer
from unfold.terms import Convolution

from .parts import StagePenalties
from .schedule import LARGEST_SQUARE

Weigh = Callable[[Lagrangian], Callable[[Mapping[str, Tensor], Mapping[str, Tensor]], Any]]


def unroll(
    declare: Callable[[int], Lagrangian],
    order: Sequence[str],
    weigh: Weigh,
    names: tuple[str, ...],
    *,
    K: int,
    tied: bool,
    cg: CG | None = None,
    before: Mapping[str, Step] | None = None,
) -> Unrolled:
    """K stages of a declaration, each with priors of its own unless tied.

    Args:
        declare: declares the Lagrangian of stage 0, 1, ..., with new priors at each call.
        order: of the updates.
        weigh: of a Lagrangian: what makes its penalties of hyper-parameters (see `StagePenalties`).
        names: of the hyper-parameters of a stage.
        K: stages.
        tied: all stages share the priors of the first. (Their penalties may differ all the same.)
        cg: for blocks whose normal matrix is diagonal in no basis.
        before: block -> a hand-written step to insert before its update.
    """
    first = declare(0)
    if not tied:
        check_size(K * count(first), f"{K} untied stages", modules=K * len(list(first.modules())))

    def stage(index: int) -> Stage:
        lagrangian = first if tied or index == 0 else declare(index)
        steps: list[Step] = []
        for step in lower(lagrangian, order_of(lagrangian, order), cg):
            block = getattr(step, "block", "")
            steps += [before[block], step] if before and block in before else [step]
            factors = lagrangian.blocks if block in lagrangian.regularizers else {}
            if factors.get(block) is Structure.PIXEL:
                steps.append(Bound(block))
        return Stage(steps, StagePenalties(index, names, weigh(lagrangian)))

    return Unrolled([stage(k) for k in range(K)])


def steps_for(lagrangian: Lagrangian) -> dict[str, Callable[[Tensor], Tensor]]:
    """Block -> `Prior.step_for` of its prior."""
    return {
        name: regularizer.prior.step_for for name, regularizer in lagrangian.regularizers.items()
    }


def order_of(lagrangian: Lagrangian, order: Sequence[str]) -> list[str]:
    """The part of an order that a declaration has: switched off terms leave blocks out."""
    known = {*lagrangian.blocks, *lagrangian.duals}
    return [name for name in order if name in known]


def describe(model: Restorer, parts: Sequence[str], order: Sequence[str], output: str) -> str:
    """A description of an unrolled model: its size, its Lagrangian, its steps, its output."""
    stages: Unrolled = model.stages  # type: ignore[assignment]
    stage: Stage = stages.stages[0]  # type: ignore[assignment]
    sizes = [f"{name} {count(getattr(model, name)):,}" for name in parts]
    shared = len(stages.stages) > 1 and _same_priors(stages)
    lines = [
        f"{type(model).__name__}: {count(model):,} parameters"
        + (f" ({', '.join(sizes)})" * bool(sizes)),
        f"stages: {len(stages.stages)}, {'tied: one set of priors' if shared else 'untied'}",
        f"steps of a stage: {', '.join(map(repr, stage.steps))}",
        "",
        stage.lagrangian.explain(order_of(stage.lagrangian, order)),
        "",
        output,
    ]
    return "\n".join(lines)


def _same_priors(stages: Unrolled) -> bool:
    first, *others = [stage.lagrangian for stage in stages.stages]
    return all(other is first for other in others)


def prepare(
    image: Tensor, kernel: Tensor | None, *, size: int = 1, least_margin: int = 0
) -> tuple[Tensor, Frame]:
    """Make the photo periodic, with a margin as wide as the kernel reaches.

    Args:
        image: the photo.
        kernel: where it is known.
        size: side of the kernel where it is not.
        least_margin: around the photo, in pixels, however small the kernel is.
    """
    height = width = size
    if kernel is not None:
        height, width = kernel.shape[-2:]
    margin = max(least_margin, height // 2), max(least_margin, width // 2)
    return pad_periodic(image, margin, multiple=MULTIPLE)


class Bound:
    """``F ← F`` clipped to ``F² <= 2``, for a factor F of a product that has a prior.

    Pictures and their factors are at most 1; overshoots of edges are left room. With the bound
    the other factor's prior is given no less than the noise (see `product_weights`).
    """

    def __init__(self, factor: str) -> None:
        self.factor = factor

    def __call__(self, state: Mapping[str, Tensor], penalties: Penalties) -> State:
        state = State(state)
        bound = LARGEST_SQUARE**0.5
        return state.replace(self.factor, state[self.factor].clamp(-bound, bound))

    def __repr__(self) -> str:
        return f"Bound({self.factor!r})"


class Take:
    """``A ← B``: a block takes the value of one that was made nearly equal, and is projected."""

    def __init__(self, block: str, other: str) -> None:
        self.block, self.other = block, other

    def __call__(self, state: Mapping[str, Tensor], penalties: Penalties) -> State:
        return State(state).replace(self.block, state[self.other])

    def __repr__(self) -> str:
        return f"Take({self.block!r}, {self.other!r})"


class Impute:
    """``X ← T ⊙ Y + (1 − T) ⊙ (H ⊗ I)``: where the blur model is not trusted, take the estimate.

    Y is the photo, T in [0, 1] the trust in each pixel: saturated lights, say, are no convolution,
    and what lies beyond a photo's border is unobserved. Minimizing the next data term majorizes
    ``w1/2 ‖√T ⊙ (H⊗I − Y)‖²``: the weighted fit descends, and I keeps its exact division by FFT.

    Args:
        blur: ``H ⊗ I − X``, or another blur of I.
        estimate: I in the formula; another block that the optimization makes equal to I serves as
            well, and its prior has removed the noise.
    """

    def __init__(self, blur: Residual | None = None, *, estimate: str = "I") -> None:
        self._blur = blur or Convolution("I", kernel="H", observed="X")
        self._estimate = estimate

    def __call__(self, state: Mapping[str, Tensor], penalties: Penalties) -> State:
        state = State(state)
        believed = state.replace("I", state[self._estimate]).replace("X", state["Y"])
        return state.replace("X", state["Y"] + (1 - state["T"]) * self._blur(believed))

    def __repr__(self) -> str:
        return "Impute('X')"


def requires_training(module: nn.Module) -> bool:
    """Whether any part of a model does. (The model itself is no part of it.)"""
    parts = (part for part in module.modules() if part is not module)
    return any(getattr(part, "requires_training", False) for part in parts)


def channels(module: nn.Module) -> int | None:
    """Of the images that its priors take, all of them; None: any number."""
    counts = {p.channels for p in module.modules() if isinstance(p, Prior)} - {None}
    return counts.pop() if counts else None


def count(module: nn.Module | None) -> int:
    """Parameters."""
    return 0 if module is None else sum(p.numel() for p in module.parameters())
