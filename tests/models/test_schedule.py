"""What priors are given stays within its bounds, whatever is learned."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unfold.models.schedule import LARGEST, annealed, balanced, places, prior_step, product_weights

STEPS = {
    "variance": lambda v: v,
    "deviation": lambda v: 0.6 * v.sqrt(),
    "small": lambda v: 1e-4 * v,
}


def number(value):
    return torch.full((1, 1, 1, 1), value, dtype=torch.float64)


@given(
    logarithm=st.floats(-60, 60),
    noise=st.floats(1e-4, 0.6),
    step_for=st.sampled_from(sorted(STEPS)),
    largest=st.sampled_from([LARGEST, LARGEST / 2]),
)
def test_told_lies_between_the_noise_and_the_largest(logarithm, noise, step_for, largest):
    step = prior_step(number(logarithm), number(noise), STEPS[step_for], largest)
    assert min(noise**2, largest) * (1 - 1e-12) <= step.item() <= largest * (1 + 1e-12)


def test_within_its_bounds_it_is_the_priors_step_and_passes_a_gradient():
    for value, inside in ((0.1, True), (0.01, True), (10.0, False), (1e-9, False)):
        logarithm = number(math.log(value)).requires_grad_()
        step = prior_step(logarithm, number(0.02), STEPS["variance"])
        assert (step.item() == pytest.approx(value)) is (inside and value <= LARGEST)
        step.backward()
        assert logarithm.grad.item() > 0  # also beyond the bounds, from where it may come back


@given(
    step=st.floats(1e-8, LARGEST / 2),
    fit=st.floats(1e-6, 1e3),
    ratio=st.floats(1e-6, 1e3),
    square=st.floats(0, 2),
    channels=st.sampled_from([1, 3]),
)
def test_in_a_product_both_bounds_hold_for_every_light(step, fit, ratio, square, channels):
    weight, penalty = product_weights(number(step), number(fit), number(ratio), channels)
    assert penalty.item() >= fit * ratio * (1 - 1e-12)
    here = (weight / (fit * square * channels + penalty)).item()
    assert step * (1 - 1e-9) <= here <= LARGEST * (1 + 1e-9)


@pytest.mark.parametrize("noise", [0.002, 0.05])
def test_the_variance_falls_from_the_first_to_that_of_the_noise(noise):
    found = []
    for place in places(4):
        constant, slope = annealed(0.2, place)
        found.append(math.exp(constant + slope * math.log(noise)))
        w0, w1 = balanced((constant, slope))
        assert math.exp(w0 + w1 * math.log(noise)) == pytest.approx(0.23 * noise**2 / found[-1])
    assert found[0] == pytest.approx(0.2**2)
    assert found[-1] == pytest.approx(noise**2)
    assert sorted(found, reverse=True) == found
    assert places(1) == [1.0]
