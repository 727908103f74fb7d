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

__all__ = ["count"]

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
    """Build K stages of a declared Lagrangian, each with its own priors unless they are tied.

    Args:
        declare: function that declares the Lagrangian of stage 0, 1, ..., with new priors at each
            call.
        order: order of the updates.
        weigh: function of a Lagrangian. It returns the function that computes the penalties from
            the hyper-parameters (see `StagePenalties`).
        names: names of a stage's hyper-parameters.
        K: number of stages.
        tied: whether all stages share the priors of the first. Their penalties may still differ.
        cg: solver for blocks whose normal matrix is not diagonal in any basis.
        before: block -> a step to insert before its update.
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
    """The names of an order that a Lagrangian contains: disabled terms leave out their blocks."""
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
    """Make the photo periodic, with a margin of half the kernel's size.

    Args:
        image: the photo.
        kernel: its kernel, if it is known.
        size: height and width of the kernel if it is not known.
        least_margin: smallest width of the margin, in pixels.
    """
    height = width = size
    if kernel is not None:
        height, width = kernel.shape[-2:]
    margin = max(least_margin, height // 2), max(least_margin, width // 2)
    return pad_periodic(image, margin, multiple=MULTIPLE)


class Bound:
    """``F ← F`` clipped to ``F² <= 2``, for a factor F of a product that has a prior.

    Images and their factors are at most 1; the bound leaves room for overshoots at edges. It
    ensures that the prior on the other factor is given at least the variance of the noise (see
    `product_weights`).
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
    """``A ← B``: a block takes the value of another block, its projection."""

    def __init__(self, block: str, other: str) -> None:
        self.block, self.other = block, other

    def __call__(self, state: Mapping[str, Tensor], penalties: Penalties) -> State:
        return State(state).replace(self.block, state[self.other])

    def __repr__(self) -> str:
        return f"Take({self.block!r}, {self.other!r})"


class Impute:
    """``X ← T ⊙ Y + (1 − T) ⊙ (H ⊗ I)``: use the estimate where the blur model is not trusted.

    Y is the photo, T in [0, 1] the trust in the blur model at each pixel. The model is wrong at
    saturated pixels, for example, and pixels outside the photo are not observed. The next data term
    is a majorizer of ``w1/2 ‖√T ⊙ (H⊗I − Y)‖²``. Its minimization therefore decreases the weighted
    data term, and I is still solved exactly by FFT.

    Args:
        blur: ``H ⊗ I − X``, or another blur of I.
        estimate: block that is used as I in the formula: I, or a block that a constraint makes
            equal to I and whose prior has removed the noise.
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
    """Whether any submodule of a model requires training."""
    parts = (part for part in module.modules() if part is not module)
    return any(getattr(part, "requires_training", False) for part in parts)


def channels(module: nn.Module) -> int | None:
    """Number of channels of the images that the priors accept; None if any number is accepted."""
    counts = {p.channels for p in module.modules() if isinstance(p, Prior)} - {None}
    return counts.pop() if counts else None


def count(module: nn.Module | None) -> int:
    """Number of parameters; 0 for None.

    Example:
        >>> import torch
        >>> from unfold.models.assembly import count
        >>> count(torch.nn.Conv2d(3, 8, 3))
        224
    """
    return 0 if module is None else sum(p.numel() for p in module.parameters())
