"""Unrolling: rounds of steps as a network, or repeated until convergence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint  # pyright: ignore[reportUnknownVariableType]

from unfold.errors import InputError

from .history import History
from .inputs import shown
from .lagrangian import Lagrangian, check_number
from .penalties import FixedPenalties
from .state import State
from .steps import Step


class Stage(nn.Module):
    """One round of steps, with its penalties.

    Args:
        steps: from `lower`; any of them may be replaced. All derived steps must be of one
            Lagrangian, which the stage registers with the parameters of its priors.
        penalties: a module ``state -> name -> number or tensor`` (`LearnedPenalties`, or a network
            that predicts them), or a mapping of numbers.

    Example:
        >>> import torch
        >>> from unfold.core import Equal, Lagrangian, Quadratic, Stage, lower
        >>> lagrangian = Lagrangian(Quadratic(Equal("x", "y")), Quadratic(Equal("x", "z"), "w"))
        >>> stage = Stage(lower(lagrangian, ("x",)), penalties={"w": 3.0})
        >>> x, y, z = torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1, 1, 1)
        >>> stage({"x": x, "y": y, "z": z})["x"].item()
        0.75
    """

    def __init__(
        self, steps: Sequence[Step], penalties: nn.Module | Mapping[str, float | Tensor]
    ) -> None:
        super().__init__()
        self.steps = tuple(steps)
        owned: list[Lagrangian] = [s.lagrangian for s in steps if hasattr(s, "lagrangian")]  # type: ignore[attr-defined]
        owners = {id(lagrangian): lagrangian for lagrangian in owned}
        if len(owners) != 1:
            raise InputError(
                f"a stage needs steps of exactly one Lagrangian, got {len(owners)}: lower each "
                "stage from its own"
            )
        self.lagrangian = owned[0]
        self.handwritten = nn.ModuleList(s for s in steps if isinstance(s, nn.Module))
        self.penalties = (
            penalties if isinstance(penalties, nn.Module) else FixedPenalties(penalties)
        )
        self.register_load_state_dict_pre_hook(_with_new_names)  # pyright: ignore[reportUnknownMemberType]

    def forward(self, state: Mapping[str, Tensor], history: History | None = None) -> State:
        state = State(state)
        penalties = self.penalties(state)
        if history is not None:
            return history.record(self.lagrangian, self.steps, state, penalties)
        for step in self.steps:
            state = step(state, penalties)
        return state


class Unrolled(nn.Module):
    """K stages in sequence: a network from state to state.

    Args:
        stages: one stage, or several with parameters of their own (untied).
        repeat: number of repetitions of the sequence; one stage repeated K times is a tied network.

    Attributes:
        recompute: whether the backward pass recomputes each stage from its stored input state. This
            takes a third more time, and memory hardly grows with K. It is False by default; set it
            for training.

    Example:
        >>> import torch
        >>> from unfold.core import Equal, Lagrangian, Quadratic, Stage, Unrolled, lower
        >>> lagrangian = Lagrangian(Quadratic(Equal("x", "y")), Quadratic(Equal("x", "z"), "w"))
        >>> stage = Stage(lower(lagrangian, ("x", "z")), penalties={"w": 1.0})
        >>> zero, one = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
        >>> network = Unrolled(stage, repeat=3)
        >>> network({"y": one, "x": zero, "z": zero})["x"].mean().item()  # 1 − 1 / 2³
        0.875
    """

    recompute: bool = False

    def __init__(self, stages: Stage | Sequence[Stage], repeat: int = 1) -> None:
        super().__init__()
        self.stages = nn.ModuleList([stages] if isinstance(stages, Stage) else stages)
        if not len(self.stages) or repeat < 1:
            raise InputError(
                f"Unrolled needs at least one stage and one round, got {len(self.stages)} "
                f"stages, repeat={repeat}"
            )
        self.repeat = repeat

    def forward(self, state: Mapping[str, Tensor], history: History | None = None) -> State:
        """Run all stages.

        Args:
            state: every block, observation and kernel; missing duals start at zero.
            history: filled stage by stage, if given. This takes at least as much time as the steps
                themselves, and several times as much if the priors are cheap: it is meant for
                inspection, not for training.
        """
        stages = cast(Sequence[Stage], self.stages)
        now = stages[0].lagrangian.start(state)
        for _ in range(self.repeat):
            for stage in stages:
                if self.recompute and history is None and torch.is_grad_enabled():
                    now = _recomputed(stage, now)
                else:
                    now = stage(now, history)
        return now


def _with_new_names(
    module: nn.Module, tensors: dict[str, Tensor], prefix: str, *rest: object
) -> None:
    """Rename the entries of a stage's penalties in state dicts of older versions."""
    for name in [name for name in tensors if name.startswith(f"{prefix}weights.")]:
        tensors[f"{prefix}penalties.{name.removeprefix(f'{prefix}weights.')}"] = tensors.pop(name)


def _recomputed(stage: Stage, state: State) -> State:
    """A stage whose intermediate values are recomputed in the backward pass."""
    names, tensors = tuple(state), tuple(state.values())

    def run(*entries: Tensor) -> State:
        # A new state: cached values belong to the graph of the old one, and would stay in memory.
        return stage(dict(zip(names, entries, strict=True)))

    return checkpoint(run, *tensors, use_reentrant=False)


def check_count(what: str, count: object) -> None:
    """Check that a number of rounds is a positive integer."""
    if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
        raise InputError(f"{what} is {shown(count)}: must be an integer of at least 1")


def converge(
    stage: Stage,
    state: Mapping[str, Tensor],
    *,
    tolerance: float = 1e-4,
    maximum: int = 100,
    every: int = 1,
) -> tuple[State, History]:
    """Repeat one stage until every relative primal and dual residual is below a tolerance.

    Args:
        stage: the round to repeat.
        state: the initial state; missing duals start at zero.
        tolerance: tolerance for each image of the batch; see `History` for the residuals.
        maximum: largest number of rounds.
        every: number of rounds between computations of the residuals, each as costly as a round.

    Returns:
        The last state and the history; ``history.converged(tolerance)`` tells whether it converged.

    Example:
        >>> import torch
        >>> from unfold.core import Equal, Lagrangian, Quadratic, Stage, converge, lower
        >>> lagrangian = Lagrangian(Quadratic(Equal("x", "y")), Quadratic(Equal("x", "z")))
        >>> stage = Stage(lower(lagrangian, ("x", "z")), penalties={})
        >>> zero, one = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
        >>> state, history = converge(stage, {"y": one, "x": zero, "z": zero}, tolerance=1e-3)
        >>> history.converged(1e-3)
        True
    """
    check_number(tolerance, "tolerance", least=None)
    check_count("maximum", maximum)
    check_count("every", every)
    history = History()
    now = stage.lagrangian.start(state)
    for count in range(1, maximum + 1):
        asked = count % every == 0 or count == maximum
        now = stage(now, history if asked else None)
        if asked and history.converged(tolerance):
            break
    return now, history
