"""The paper's printed updates: each misses the minimum that the derived one attains."""

import itertools

import pytest
import torch
from jude_printed import PrintedI, PrintedL, PrintedP, PrintedR
from systems import JUDE_WEIGHTS, random_state

from unfold.core import lower
from unfold.models.jude import ORDER, jude_objective

PRINTED = {"P": PrintedP, "R": PrintedR, "L": PrintedL, "I": PrintedI}


def gradient(lagrangian, block, state):
    x = state[block].detach().requires_grad_()
    value = lagrangian.value({**state, block: x}, JUDE_WEIGHTS)
    return torch.autograd.grad(value, x)[0].abs().max()


@pytest.mark.parametrize("block", PRINTED)
def test_a_printed_update_leaves_a_gradient_and_cites_its_equation(block):
    lagrangian = jude_objective().lagrangian
    state = random_state([*ORDER, "X"], (1, 3, 8, 9))
    (derived,) = lower(lagrangian, (block,))
    printed = PRINTED[block]()
    assert gradient(lagrangian, block, derived(state, JUDE_WEIGHTS)) < 1e-10
    assert gradient(lagrangian, block, printed(state, JUDE_WEIGHTS)) > 1e-2
    assert type(printed).__doc__.startswith("Eq. ")


@pytest.mark.parametrize(
    ("block", "dual", "step"), [("R", "G", PrintedR()), ("L", "O", PrintedL())]
)
def test_the_dual_of_the_printed_equation_runs_away_and_the_derived_one_does_not(block, dual, step):
    lagrangian = jude_objective().lagrangian
    names = [n for n in ORDER if n not in "GOD"]
    start = lagrangian.start(random_state([*names, "X"], (1, 3, 8, 9)))
    derived = list(lower(lagrangian, ORDER))
    printed = list(derived)
    printed[ORDER.index(block)] = step
    size = {}
    for name, steps in (("derived", derived), ("printed", printed)):
        state, size[name] = start, []
        for _ in range(12):
            for update in steps:
                state = update(state, JUDE_WEIGHTS)
            size[name].append(state[dual].abs().max().item())
    assert max(size["derived"]) < 1e-12
    assert all(new > 1.9 * old for old, new in itertools.pairwise(size["printed"][2:]))


def test_the_printed_dual_doubles_exactly():
    """Eq. 10 then 22: Γ ← 2Γ + (1 − λ3) P."""
    lagrangian = jude_objective().lagrangian
    state = random_state([*ORDER, "X"], (1, 3, 8, 9))
    (ascend,) = lower(lagrangian, ("G",))
    after = ascend(PrintedR()(state, JUDE_WEIGHTS), JUDE_WEIGHTS)
    want = 2 * state["G"] + (1 - JUDE_WEIGHTS["w3"]) * state["P"]
    torch.testing.assert_close(after["G"], want, rtol=0, atol=1e-12)


def test_r_and_l_are_p_and_q_from_zero_duals():
    """Γ and Ω stay at zero, as the docstring of jude_objective says; only Δ is alive."""
    lagrangian = jude_objective().lagrangian
    names = [n for n in ORDER if n not in "GOD"]
    state = lagrangian.start(random_state([*names, "X"], (1, 3, 8, 9)))
    for _ in range(3):
        for update in lower(lagrangian, ORDER):
            state = update(state, JUDE_WEIGHTS)
    torch.testing.assert_close(state["R"], state["P"], rtol=0, atol=1e-14)
    torch.testing.assert_close(state["L"], state["Q"], rtol=0, atol=1e-14)
    assert state["D"].abs().max() > 1e-3
