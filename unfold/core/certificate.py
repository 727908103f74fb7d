"""Properties of the rounds of a model: proven, measured, or unknown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unfold.errors import UnfoldError

from .equilibrium import Equilibrium, Round, contraction
from .penalties import FixedPenalties, LearnedPenalties
from .prior import Prior
from .state import State
from .steps import Minimize
from .unroll import Stage, Unrolled

_ROUNDS = 20  # in which the Lagrangian is observed
_ROUNDING = 1e-5  # allowed relative increase
_PRODUCTS = 20  # products with a prior's Jacobian in the power iteration
_COLUMNS = (25, 8, 11)

Status = Literal["proven", "measured", "unknown"]


@dataclass(frozen=True)
class Finding:
    """One line of a certificate.

    Attributes:
        claim: the property.
        status: proven for all photos, measured on the given ones, or unknown.
        value: value of the property; ``"-"`` if unknown.
        reason: the theorem, the measurement, or why the property is unknown.
    """

    claim: str
    status: Status
    value: str
    reason: str


@dataclass(frozen=True)
class Certificate:
    """Properties of the rounds of a model; ``str()`` returns a table.

    Attributes:
        findings: the lines of the table.
    """

    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        head = Finding("claim", "status", "value", "why")  # type: ignore[arg-type]
        return "\n".join(_line(finding) for finding in (head, *self.findings))


def certify(model: nn.Module, *inputs: Any, **data: Any) -> Certificate:
    """Certify the last round of a model: whether it contracts if it is repeated, which Lipschitz
    constants its priors have, and whether the Lagrangian decreases.

    Args:
        model: an unrolled or equilibrium model: a restoration model, or the network of an
            objective.
        inputs: inputs of the model, such as a photo ``(B, 3, H, W)``; without inputs, nothing is
            measured.
        data: keyword arguments of the model, such as ``kernel=``.

    Returns:
        The following findings; for several photos, the worst value.

        - contraction: the largest modulus of an eigenvalue of the round's Jacobian at the final
          state of the model, estimated by 30 steps of power iteration.
        - change: the relative change of that state in one more round.
        - Lipschitz: the constant of each prior's proximal operator. It is proven if the
          architecture allows it; otherwise power iteration at the last input of the prior measures
          a lower bound.
        - descent: the decrease of the augmented Lagrangian in 20 rounds from the model's start;
          proven if every update minimizes it.

    Raises:
        UnfoldError: if the model has no rounds, or raises an error itself.

    Example:
        >>> import unfold as uf
        >>> import torch
        >>> (x, z), y = uf.blocks("x z"), uf.data("y")
        >>> L = uf.sq(x - y) / 2 + uf.ridge(z) + uf.constraint(x - z, 1.0)
        >>> photo = torch.rand(1, 3, 8, 8)
        >>> uf.certify(L.equilibrium(output=z), y=photo).findings[0].value
        '0.5'
    """
    stages = getattr(model, "stages", None)
    if not isinstance(stages, (Unrolled, Equilibrium)):
        raise UnfoldError(
            f"{type(model).__name__} has no rounds of a Lagrangian: there is nothing to certify"
        )
    stage: Stage = stages.stages[-1]  # type: ignore[assignment]
    states = _run(model, stages, inputs, data) if inputs or data else None
    found = [*_at_the_end(stage, states and states[1])]
    found += _priors(stage, states and states[1])
    found.append(_descent(stage, states and states[0]))
    return Certificate(tuple(found))


@torch.no_grad()
def _run(
    model: nn.Module, stages: nn.Module, inputs: tuple[Any, ...], data: Mapping[str, Any]
) -> tuple[State, State]:
    """The states before the first round and after the last."""
    states: list[State] = []

    def keep(_: nn.Module, given: tuple[State], after: State) -> None:
        states[:] = [State(given[0]), after]

    was = model.training
    hook = stages.register_forward_hook(keep)
    try:
        model.eval()(*inputs, **data)
    finally:
        hook.remove()
        model.train(was)
    return states[0], states[1]


def _at_the_end(stage: Stage, state: State | None) -> Iterator[Finding]:
    claims = "contraction of a round", "change in a further round"
    if state is None:
        yield from (Finding(claim, "unknown", "-", _NO_PHOTO) for claim in claims)
        return
    with torch.no_grad():
        round = Round(stage, state)
        flat = round.flat(state)
        change = (round(flat) - flat).square().sum(1) / flat.square().sum(1)
    try:
        factor, doubt = contraction(round, flat)
    except RuntimeError as error:
        yield Finding(claims[0], "unknown", "-", f"no gradient: {str(error)[:80]}")
    else:
        worst = int(factor.argmax())
        reason = (
            f"power iteration with its Jacobian (residual {doubt[worst].item():.1g}): "
            f"{_verdict(factor[worst].item(), doubt[worst].item())} near the final state; this "
            "does not cover other states"
        )
        yield Finding(claims[0], "measured", f"{factor[worst].item():.3g}", reason)
    reason = "of all blocks and duals, relative; 0 at a fixed point"
    yield Finding(claims[1], "measured", f"{change.max().sqrt().item():.2g}", reason)


def _verdict(factor: float, doubt: float) -> str:
    if factor + doubt < 1:
        return "it contracts"
    return "it does not contract" if factor - doubt >= 1 else "this does not decide contraction"


def _priors(stage: Stage, state: State | None) -> Iterator[Finding]:
    for block in stage.lagrangian.regularizers:
        prior: Prior = stage.lagrangian.priors[block]  # type: ignore[assignment]
        name, claim = type(prior).__name__, f"Lipschitz, prior on {block}"
        bound = prior.lipschitz()
        if bound is not None and bound < float("inf"):
            why = f"{name} is the exact prox of a convex function"
            if not (prior.convex and prior.exact):
                why = f"{name}: product of the gains of its layers"
            yield Finding(claim, "proven", f"<= {bound:.3g}", why)
            if bound <= 1:
                continue
        yield _measured(claim, name, prior, stage, state, block)


def _measured(
    claim: str, name: str, prior: Prior, stage: Stage, state: State | None, block: str
) -> Finding:
    """A lower bound of the Lipschitz constant of a prior."""
    if state is None:
        return Finding(claim, "unknown", "-", _NO_PHOTO)
    inputs: list[tuple[Tensor, Tensor]] = []

    def keep(_: nn.Module, given: tuple[Tensor, Tensor]) -> None:
        inputs.append(given)

    hook = prior.register_forward_pre_hook(keep)
    with torch.no_grad():
        stage(state)
    hook.remove()
    if not inputs:
        return Finding(claim, "unknown", "-", f"{name} reads data, and no gain was measured")
    try:
        gain = _gain(prior, *inputs[-1]).max().item()
    except RuntimeError as error:
        return Finding(claim, "unknown", "-", f"no gradient of {name}: {str(error)[:80]}")
    reason = f"{name}: power iteration with its Jacobian at {block}"
    return Finding(claim, "measured", f">= {gain:.3g}", reason)


def _gain(prior: Prior, v: Tensor, step: Tensor) -> Tensor:
    """A lower bound of ``‖J‖₂`` of the prox at v, ``(B,)``: power iteration on ``JᵀJ``."""
    direction = torch.randn(v.shape, generator=torch.Generator().manual_seed(0)).to(v)
    gain = v.new_zeros(len(v))
    with torch.enable_grad():
        point, weight = v.clone().requires_grad_(), torch.zeros_like(v, requires_grad=True)
        value = prior.prox(point, step)
        # Jᵀ w is linear in w, and its transpose is J.
        (pulled,) = torch.autograd.grad(value, point, weight, create_graph=True)
    for _ in range(_PRODUCTS):
        size = direction.square().sum((1, 2, 3), keepdim=True).sqrt()
        direction = direction / size.clamp_min(torch.finfo(v.dtype).tiny)
        (pushed,) = torch.autograd.grad(
            pulled, weight, direction, retain_graph=True, materialize_grads=True
        )
        gain = pushed.square().sum((1, 2, 3)).sqrt()
        (direction,) = torch.autograd.grad(value, point, pushed, retain_graph=True)
    return gain


def _descent(stage: Stage, state: State | None) -> Finding:
    claim = "descent of the Lagrangian"
    if _minimizes(stage):
        return Finding(claim, "proven", "yes", "each update minimizes it over its block")
    if state is None:
        return Finding(claim, "unknown", "-", _NO_PHOTO)
    start = stage.lagrangian.start(state)
    hidden = [b for b in stage.lagrangian.regularizers if _value(b, stage, start) is None]
    if hidden:
        reason = f"the prior on {', '.join(hidden)} is only given by its prox"
        return Finding(claim, "unknown", "-", reason)
    path = _path(stage, start)
    if not bool(path.isfinite().all()):
        return Finding(claim, "unknown", "-", "its value is not finite: a bound is violated")
    scale = path.abs().amax(0)
    rises = (path.diff(dim=0) > _ROUNDING * scale).any(1)
    fall = ((path[0] - path[-1]) / scale).min().item()
    reason = (
        f"it rose in {int(rises.sum())} of {_ROUNDS - 1} rounds from the start, with a total "
        f"relative decrease of {fall:.2g}"
        + " (dual ascent raises it)"
        * bool(stage.lagrangian.duals)
    )
    return Finding(claim, "measured", "no" if bool(rises.any()) else "yes", reason)


@torch.no_grad()
def _path(stage: Stage, state: State) -> Tensor:
    """The Lagrangian after each round, ``(rounds, B)``."""
    values: list[Tensor] = []
    for _ in range(_ROUNDS):
        state = stage(state)
        values.append(stage.lagrangian.values(state, stage.penalties(state)).double())
    return torch.stack(values)


def _minimizes(stage: Stage) -> bool:
    """Whether no step of a stage increases the Lagrangian, which all steps share."""
    if not isinstance(stage.penalties, (FixedPenalties, LearnedPenalties)):
        return False
    priors: Mapping[str, Prior] = stage.lagrangian.priors  # type: ignore[assignment]
    derived = all(isinstance(step, Minimize) for step in stage.steps)
    return derived and all(prior.exact for prior in priors.values())


def _value(block: str, stage: Stage, state: State) -> Tensor | None:
    prior: Prior = stage.lagrangian.priors[block]  # type: ignore[assignment]
    return prior.at(state).value(state[block])


_NO_PHOTO = "it is measured on photos only: give one"


def _line(finding: Finding) -> str:
    cells = finding.claim, finding.status, finding.value
    start = "  ".join(c.ljust(width) for c, width in zip(cells, _COLUMNS, strict=True)) + "  "
    return textwrap.fill(
        finding.reason, 100, initial_indent=start, subsequent_indent=" " * len(start)
    )
