"""Updates where a prior takes one step for an image, and the normal matrix varies over it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unfold.core import Constraint, Equal, Lagrangian, Quadratic, Regularizer, lower
from unfold.priors import Box, SoftThreshold, TotalVariation
from unfold.terms import Retinex

WEIGHTS = {"w": 0.8, "penalty": 0.3, "p": 0.05}


class OneStepShrink(SoftThreshold):
    accepts_map = False

    def prox(self, v, step):
        assert step.shape[1:] == (1, 1, 1)
        return super().prox(v, step)


class OneStepBox(Box):
    accepts_map = False


class OneStepVariation(TotalVariation):
    """What bm3d is, with a value that is known: it mixes pixels, and takes one step."""

    accepts_map = False

    def __init__(self, iterations=400):
        super().__init__(iterations=iterations)

    def prox(self, v, step):
        assert step.shape[1:] == (1, 1, 1)
        return super().prox(v, step)


def declared(prior):
    return Lagrangian(
        Quadratic(Retinex("Z", reflectance="P", illumination="Q"), "w"),
        Constraint(Equal("R", "P"), penalty="penalty", dual="G"),
        Regularizer("P", prior, "p"),
    )


def problem(seed, size=(5, 6), channels=3, darkest=0.0):
    rng = torch.Generator().manual_seed(seed)

    def draw(count):
        return torch.rand(2, count, *size, dtype=torch.float64, generator=rng)

    state = {name: draw(channels) for name in "ZPRG"}
    return {**state, "Q": darkest + (1 - darkest) * draw(1)}


@given(
    seed=st.integers(0, 10**6),
    prior=st.sampled_from([OneStepShrink, OneStepBox]),
    w=st.floats(0.01, 100),
    penalty=st.floats(1e-3, 10),
    p=st.floats(1e-4, 10),
)
@settings(max_examples=60)
def test_it_never_raises_the_lagrangian(seed, prior, w, penalty, p):
    lagrangian, penalties = declared(prior()), {"w": w, "penalty": penalty, "p": p}
    (step,) = lower(lagrangian, ("P",))
    state = lagrangian.start(problem(seed))
    before = lagrangian.value(state, penalties)
    for _ in range(5):
        state = step(state, penalties)
        after = lagrangian.value(state, penalties)
        assert (after <= before + 1e-12 * before.abs()).all()
        before = after


@given(seed=st.integers(0, 10**6))
@settings(max_examples=3)
def test_it_never_raises_the_lagrangian_with_a_prior_that_mixes_pixels(seed):
    lagrangian = declared(OneStepVariation())
    (step,) = lower(lagrangian, ("P",))
    state = lagrangian.start(problem(seed))
    before = lagrangian.value(state, WEIGHTS)
    for _ in range(5):
        state = step(state, WEIGHTS)
        after = lagrangian.value(state, WEIGHTS)
        assert (after <= before + 1e-8 * before.abs()).all()  # (the prox itself is iterative)
        before = after


@pytest.mark.parametrize(
    ("exact", "one", "tolerance"),
    [
        (SoftThreshold(), OneStepShrink(), 1e-10),
        (Box(low=0.2, high=0.6), OneStepBox(low=0.2, high=0.6), 1e-10),
        (TotalVariation(iterations=1000), OneStepVariation(100), 1e-5),
    ],
    ids=lambda x: type(x).__name__,
)
def test_repeated_it_comes_to_the_exact_update(exact, one, tolerance):
    start = declared(exact).start(problem(0, darkest=0.3))
    (once,) = lower(declared(exact), ("P",))
    (step,) = lower(declared(one), ("P",))
    want, state = once(start, WEIGHTS)["P"], start
    first = (step(state, WEIGHTS)["P"] - want).abs().max()
    for _ in range(100):
        state = step(state, WEIGHTS)
    torch.testing.assert_close(state["P"], want, rtol=0, atol=tolerance)
    assert first > 100 * tolerance  # one update alone is not there yet


def test_where_the_diagonal_is_flat_it_is_the_exact_update():
    start = problem(0)
    start["Q"] = torch.full_like(start["Q"], 0.7)
    made = [
        lower(declared(prior), ("P",))[0](declared(prior).start(start), WEIGHTS)["P"]
        for prior in (SoftThreshold(), OneStepShrink())
    ]
    torch.testing.assert_close(*made, rtol=0, atol=1e-14)


def test_it_is_told_the_smallest_step_of_each_image():
    told = []

    class Told(OneStepShrink):
        def prox(self, v, step):
            told.append(step)
            return super().prox(v, step)

    lagrangian, state = declared(Told()), problem(0)
    lower(lagrangian, ("P",))[0](lagrangian.start(state), WEIGHTS)
    largest = 0.8 * state["Q"].square().amax((1, 2, 3), keepdim=True) + 0.3
    torch.testing.assert_close(told[0], 0.05 / largest)


def test_explain_says_so():
    text = declared(OneStepVariation()).explain(("P",))
    assert "majorized, c = max d: prox of OneStepVariation at P − (d⊙P − b)/c, step p/c" in text
    assert "majorized" not in declared(TotalVariation()).explain(("P",))
