"""Checks of a prior."""

from __future__ import annotations

import math
from functools import partial
from unittest import SkipTest

import torch
from torch import Tensor

from unfold.core import Constraint, Equal, Lagrangian, Prior, Quadratic, Regularizer, lower

from . import misuse
from .options import bounds_its_numbers, is_built_quickly
from .tools import (
    Rule,
    Subject,
    builds_from_spec,
    close,
    export,
    leave_start,
    need,
    state_dict_round_trip,
)

_SIZES = ((16, 16), (17, 23), (9, 12))


def _input(size: tuple[int, int] = (16, 16), batch: int = 2, dtype=torch.float32) -> Tensor:
    return torch.rand(batch, 3, *size).to(dtype)


def _step(value: float = 0.01, dtype=torch.float32) -> Tensor:
    return torch.full((1, 1, 1, 1), value).to(dtype)


def is_a_prior(subject: Subject) -> None:
    need(isinstance(subject.make(), Prior), f"{subject.make()!r:.60} is no unfold.core.Prior")


def keeps_shape_and_dtype(subject: Subject) -> None:
    for dtype in (torch.float32, torch.float64):
        prior = subject.component(dtype)
        for size in _SIZES:
            v = _input(size, dtype=dtype)
            with torch.no_grad():
                x = prior.prox(v, _step(dtype=dtype))
            need(x.shape == v.shape, f"{tuple(v.shape)} became {tuple(x.shape)}")
            need(x.dtype == dtype, f"{dtype} became {x.dtype}")
            need(x.device == v.device, f"{v.device} became {x.device}")
            need(x.isfinite().all(), f"not finite at {size}, {dtype}")


def bfloat16(subject: Subject) -> None:
    prior, v = subject.component(), _input()
    with torch.no_grad():
        want = prior.prox(v, _step())
        half = subject.make().to(torch.bfloat16).eval()
        half.load_state_dict(prior.state_dict())
        x = half.prox(v.bfloat16(), _step(dtype=torch.bfloat16))
    need(x.dtype == torch.bfloat16, f"torch.bfloat16 became {x.dtype}")
    close(x.float(), want, "bfloat16 against float32", 0.1)


def treats_images_apart(subject: Subject) -> None:
    prior, v = subject.component(), _input()
    steps = torch.tensor([0.01, 0.04]).view(2, 1, 1, 1)
    with torch.no_grad():
        both = prior.prox(v, steps)
        for i in range(2):
            alone = prior.prox(v[i : i + 1], steps[i : i + 1])
            close(both[i : i + 1], alone, f"image {i} in a batch and alone", 1e-4)


def leaves_inputs_alone(subject: Subject) -> None:
    v, step = _input(), _step()
    copies = v.clone(), step.clone()
    with torch.no_grad():
        subject.component().prox(v, step)
    need(torch.equal(v, copies[0]), "v was changed in place")
    need(torch.equal(step, copies[1]), "step was changed in place")


def is_deterministic(subject: Subject) -> None:
    prior, v = subject.component(), _input()
    with torch.no_grad():
        first = prior.prox(v, _step())
        prior.prox(_input(), _step())  # another input in between
        need(torch.equal(first, prior.prox(v, _step())), "two calls in eval mode differ")


def takes_its_steps(subject: Subject) -> None:
    prior, v = subject.component(), _input()
    maps = torch.rand(2, 1, 16, 16) * 0.1 + 0.01, torch.rand(2, 3, 16, 16) * 0.1 + 0.01
    with torch.no_grad():
        if prior.accepts_map:
            for step in maps:
                need(prior.prox(v, step).shape == v.shape, f"a step map {tuple(step.shape)} fails")
            flat = torch.full((2, 1, 16, 16), 0.01)
            close(prior.prox(v, flat), prior.prox(v, _step()), "a constant map and a number", 1e-4)
            return
        try:
            prior.prox(v, maps[0])
        except ValueError:
            return
    raise AssertionError("accepts_map is False, but a varying step raises no ValueError")


def refuses_bad_input(subject: Subject) -> None:
    """If the prior is called; ``prox`` itself checks nothing."""
    prior, v, step = subject.component(), _input((9, 12)), _step()
    points = misuse.of_wrong_type(v) | misuse.empty(v)
    points |= {"three axes": v[0], "five axes": v[None]}
    steps = misuse.of_wrong_type(step) | {
        "a number": 0.01,
        "no axes": step[0, 0, 0, 0],
        "five axes": step[None],
        "none": step[:0],
        "another batch": step.expand(3, -1, -1, -1),
        "another size": torch.full((1, 1, 5, 5), 0.01),
        "another type": step.double(),
        "below 0": -step,
        "NaN": step * math.nan,
        "infinite": step * math.inf,
    }
    misuse.refuse({f"v: {what}": partial(prior, x, step) for what, x in points.items()})
    misuse.refuse({f"step: {what}": partial(prior, v, s) for what, s in steps.items()})


def takes_or_refuses_odd_input(subject: Subject) -> None:
    """If NaN is accepted, the output contains NaN."""
    prior, v, step = subject.component(), _input((9, 12)), _step()
    odd = {
        "below 0": (v - 0.5, step),
        "above 1": (255 * v, step),
        "one pixel": (v[..., :1, :1], step),
        "2×3 pixels": (v[..., :2, :3], step),
        "another number of channels": (v[:, [0, 1, 2, 0]], step),
        "float16": (v.half(), step.half()),
        "bfloat16": (v.bfloat16(), step.bfloat16()),
        "float64": (v.double(), step.double()),
        "the meta device": (v.to("meta"), step.to("meta")),
        "a step of zero": (v, 0 * step),
        "a large step": (v, 1e6 * step),
    }
    for what, (x, s) in odd.items():
        misuse.take_or_refuse({what: partial(prior, x, s)}, partial(_problem, v=x))
    run = partial(prior, misuse.special(v, math.nan), step)
    misuse.take_or_refuse({"NaN": run}, lambda x: "it vanished" * bool(x.isfinite().all()))
    run = partial(prior, misuse.special(v, math.inf), step)
    misuse.take_or_refuse({"an infinity": run}, lambda x: "")  # (it may be clipped)
    for dtype in (torch.float16, torch.bfloat16):
        run = partial(subject.component(dtype), v.to(dtype), step.to(dtype))
        misuse.take_or_refuse({f"prior and v in {dtype}": run}, partial(_problem, v=v.to(dtype)))


def _problem(x: Tensor, v: Tensor) -> str:
    if (x.shape, x.dtype, x.device) != (v.shape, v.dtype, v.device):
        return f"{tuple(v.shape)} of {v.dtype} became {tuple(x.shape)} of {x.dtype}, {x.device}"
    return "" if x.is_meta or x.isfinite().all() else "not finite"


def reads_any_layout(subject: Subject) -> None:
    """Transposed, strided and channels-last images give the same result."""
    step = _step()
    misuse.reads_any_layout(subject.component(), _input((9, 12)), lambda prior, v: prior(v, step))


def survives_copying(subject: Subject) -> None:
    v, step = _input(), _step()
    misuse.survives_copying(subject.component(), lambda prior: prior(v, step))


def serves_two_threads(subject: Subject) -> None:
    v, step = _input(), _step()
    misuse.serves_two_threads(subject.component(), lambda prior: prior(v, step))


def survives_a_fork(subject: Subject) -> None:
    v, step = _input(), _step()
    misuse.survives_a_fork(subject.component(), lambda prior: prior(v, step))


def passes_gradients(subject: Subject) -> None:
    prior = subject.component()
    v = _input().requires_grad_()
    if not prior.differentiable:
        try:
            prior.prox(v, _step())
        except RuntimeError:
            return
        raise AssertionError("differentiable is False, but a required gradient raises no error")
    leave_start(prior)
    prior.prox(v, _step()).square().sum().backward()
    if prior.channels is None:  # other numbers of channels may use other parameters
        prior.prox(v[:, :1], _step()).square().sum().backward()
    need(v.grad is not None and v.grad.any(), "no gradient reaches v")
    assert v.grad is not None
    need(v.grad.isfinite().all(), "the gradient of v is not finite")
    for name, parameter in prior.named_parameters():
        if parameter.requires_grad:
            need(parameter.grad is not None and parameter.grad.any(), f"no gradient for {name}")


def has_the_right_gradient(subject: Subject) -> None:
    prior = subject.component(torch.float64)
    if not prior.differentiable:
        return
    v = (0.1 + 0.8 * _input((9, 12), 1, torch.float64)).requires_grad_()
    step = _step(0.013, torch.float64)
    torch.autograd.gradcheck(lambda x: prior.prox(x, step), (v,), fast_mode=True, atol=1e-4)


def survives_a_state_dict(subject: Subject) -> None:
    v = _input()
    state_dict_round_trip(subject, lambda prior: prior.prox(v, _step()))


def minimizes_its_value(subject: Subject) -> None:
    """If g is known: no neighbor, no prox of another step and no descent has a lower objective."""
    prior = subject.component(torch.float64)
    v, step = _input((9, 12), 1, torch.float64), _step(0.05, torch.float64)
    if prior.value(v) is None:
        return

    def objective(x: Tensor) -> Tensor:
        value = prior.value(x)
        assert value is not None
        return (value + ((x - v) ** 2 / (2 * step)).sum((1, 2, 3))).sum()

    with torch.no_grad():
        x = prior.prox(v, step)
        best = objective(x)
        allowed = 1e-2 * best.abs() + 1e-6
        others = {
            f"the prox for {c} of the step": prior.prox(v, c * step) for c in (0.5, 0.8, 1.25, 2)
        }
        others |= {f"{t} of the way to v": x + t * (v - x) for t in (0.05, 0.5)}
        others |= {f"a neighbor at {s}": x + s * torch.randn_like(x) for s in (1e-3, 1e-2)}
        for name, other in others.items():
            need(best <= objective(other) + allowed, f"{name} has a lower objective than prox")
    need(best.isfinite(), "the objective at prox is not finite")


def is_nonexpansive(subject: Subject) -> None:
    """``‖prox a − prox b‖ <= ‖a − b‖`` for random pairs, and along the direction of the largest
    increase, found by power iteration."""
    prior, step = subject.component(torch.float64), _step(0.05, torch.float64)
    a = _input((9, 12), 1, torch.float64)
    direction = torch.randn_like(a)
    with torch.no_grad():
        base = prior.prox(a, step)
        for size in (1.0, 0.1, *[0.01] * 8):
            d = size * direction / direction.norm()
            moved = prior.prox(a + d, step) - base
            ratio = (moved.norm() / d.norm()).item()
            need(ratio <= 1 + 1e-3, f"a difference grows by the factor {ratio:.4f}")
            direction = moved if moved.any() else torch.randn_like(a)


def works_in_a_lagrangian(subject: Subject) -> None:
    """As the prior on a block: its update keeps shapes, and never increases the Lagrangian."""
    prior = subject.component(torch.float64)
    lagrangian = Lagrangian(
        Quadratic(Equal("Z", "X"), 2.0),
        Constraint(Equal("I", "Z"), penalty=1.5, dual="D"),
        Regularizer("Z", prior, 0.1),
    )
    state = {name: _input((9, 12), 2, torch.float64) for name in "ZXID"}
    (step,) = lower(lagrangian, ("Z",))
    with torch.no_grad():
        after = step(state, {})
        need(after["Z"].shape == state["Z"].shape, "the block's shape changed")
        if prior.value(state["Z"]) is not None:
            now, before = lagrangian.value(after, {}), lagrangian.value(state, {})
            need(now <= before + 1e-9 * before.abs(), f"the Lagrangian rose from {before} to {now}")


def agrees_on_a_gpu(subject: Subject) -> None:
    if not torch.cuda.is_available():
        raise SkipTest("no GPU on this machine")
    prior, v = subject.component(), _input()
    with torch.no_grad():
        want = prior.prox(v, _step())
        got = prior.to("cuda").prox(v.cuda(), _step().cuda())
    need(got.device.type == "cuda", f"cuda became {got.device}")
    close(got.cpu(), want, "a GPU against the CPU", 1e-2)


def compiles(subject: Subject) -> None:
    prior, v = subject.component(), _input()
    with torch.no_grad():
        compiled = torch.compile(prior, fullgraph=True)(v, _step())
        close(compiled, prior.prox(v, _step()), "compiled against eager", 1e-4)


def exports(subject: Subject) -> None:
    prior, v = subject.component(), _input()
    with torch.no_grad():
        export(prior, (v, _step()), prior.prox(v, _step()))


CHECKS = {
    "type": Rule(is_a_prior),
    "shape-dtype-device": Rule(keeps_shape_and_dtype),
    "batch-independence": Rule(treats_images_apart),
    "no-mutation": Rule(leaves_inputs_alone),
    "determinism": Rule(is_deterministic),
    "steps": Rule(takes_its_steps),
    "bad-input": Rule(refuses_bad_input),
    "odd-input": Rule(takes_or_refuses_odd_input),
    "layout": Rule(reads_any_layout),
    "copies": Rule(survives_copying),
    "threads": Rule(serves_two_threads),
    "fork": Rule(survives_a_fork),
    "gradients-flow": Rule(passes_gradients),
    "gradcheck": Rule(has_the_right_gradient),
    "state-dict": Rule(survives_a_state_dict),
    "spec": Rule(builds_from_spec, named=True),
    "prox-optimality": Rule(minimizes_its_value),
    "lagrangian": Rule(works_in_a_lagrangian),
    "gpu": Rule(agrees_on_a_gpu),
    "nonexpansive": Rule(is_nonexpansive, claim="nonexpansive"),
    "bfloat16": Rule(bfloat16, claim="bfloat16"),
    "compile": Rule(compiles, claim="compile"),
    "export": Rule(exports, claim="export"),
    "bounds": Rule(bounds_its_numbers, named=True),
    "building": Rule(is_built_quickly, named=True),
}
