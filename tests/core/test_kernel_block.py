"""The kernel of a blur as a block of the same Lagrangian."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import dense_minimizer, gradient, random_kernel, random_state

from unfold.core import CG, Constraint, Equal, History, Lagrangian, Quadratic, Regularizer, lower
from unfold.priors import Box
from unfold.terms import Convolution, FilterFlow, MaskedConvolution, embed_kernel

WEIGHTS = {"w1": 1.3, "w2": 0.4, "w3": 0.7}
ORDER = ("I", "Z", "H", "K", "D", "U")
CONVERGED = CG(maximum=400, tolerance=1e-14)
BLURS = {
    "convolution": lambda: Convolution("I", kernel="H", observed="X"),
    "filter flow": lambda: FilterFlow("I", kernels="H", maps="W", observed="X"),
    "masked": lambda: MaskedConvolution("I", kernel="H", mask="T", observed="X"),
}


def blind(blur):
    return Lagrangian(
        Quadratic(blur, "w1"),
        Constraint(Equal("I", "Z"), penalty="w2", dual="D"),
        Constraint(Equal("H", "K"), penalty="w3", dual="U"),
    )


def blind_state(shape, kernels=1):
    batch, _, height, width = shape
    state = random_state("IXZD", shape)
    for name in "HKUW":
        state[name] = torch.rand(batch, kernels, height, width, dtype=torch.float64)
    state["T"] = torch.rand(batch, 1, height, width, dtype=torch.float64)
    return state


sizes = st.tuples(st.integers(1, 2), st.sampled_from([1, 3]), st.integers(5, 8), st.integers(5, 8))


@pytest.mark.parametrize("name", BLURS)
@given(shape=sizes, per_channel=st.booleans())
@settings(max_examples=10, deadline=None)
def test_every_block_is_stationary_after_its_update(name, shape, per_channel):
    lagrangian = blind(BLURS[name]())
    kernels = 2 if name == "filter flow" else shape[1] if per_channel else 1
    state = blind_state(shape, kernels)
    for step in lower(lagrangian, ORDER, CONVERGED):
        state = step(state, WEIGHTS)
        if hasattr(step, "block"):
            assert gradient(lagrangian, step.block, state, WEIGHTS).abs().max() < 1e-10


@pytest.mark.parametrize("name", BLURS)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_kernel_is_the_dense_solution(name, channels):
    lagrangian = blind(BLURS[name]())
    state = blind_state((1, channels, 6, 7), 2 if name == "filter flow" else 1)
    (step,) = lower(lagrangian, ("H",), CONVERGED)
    dense = dense_minimizer(lagrangian, "H", state, WEIGHTS)
    torch.testing.assert_close(step(state, WEIGHTS)["H"], dense, rtol=0, atol=1e-10)


def test_a_kernel_in_a_constraint_follows_its_dual_and_counts_in_the_ledger():
    """X = H ⊗ I as a constraint: H's primal residual is that of the constraint."""
    lagrangian = Lagrangian(
        Constraint(Convolution("I", kernel="H", observed="X"), penalty="w1", dual="D"),
        Quadratic(Equal("H", "K"), "w3"),
    )
    state = blind_state((2, 3, 6, 7))
    (step,) = lower(lagrangian, ("H",))
    after, history = step(state, WEIGHTS), History()
    assert gradient(lagrangian, "H", after, WEIGHTS).abs().max() < 1e-10
    history.record(lagrangian, lower(lagrangian, ("H", "D")), after, WEIGHTS)
    (entry,) = history.entries
    left = lagrangian.constraints[0].residual(after).flatten(1).norm(dim=1)
    largest = torch.maximum(*(after[name].flatten(1).norm(dim=1) for name in "IX"))
    torch.testing.assert_close(entry.primal, left / largest)


def test_a_kernel_for_each_image_and_a_sharp_image_that_changes():
    """What the state remembers of I is forgotten when I is replaced."""
    lagrangian = blind(BLURS["convolution"]())
    state = blind_state((2, 1, 6, 7))
    (step,) = lower(lagrangian, ("H",))
    used = step(state, WEIGHTS)
    other = torch.rand_like(state["I"])
    again = step(used.replace("I", other), WEIGHTS)["H"]
    assert torch.equal(again, step({**dict(used), "I": other}, WEIGHTS)["H"])
    for i in range(2):
        alone = step({name: value[i : i + 1] for name, value in state.items()}, WEIGHTS)["H"]
        torch.testing.assert_close(used["H"][i : i + 1], alone, rtol=0, atol=1e-12)


def test_explain_tells_how_the_kernel_is_solved():
    text = blind(BLURS["convolution"]()).explain(order=("I", "H"))
    (row,) = [line for line in text.splitlines() if line.startswith("H ")]
    assert "w1·|F(I)|² + w3" in row
    assert "Fourier-diagonal" in row
    assert "FFT" in row
    flow = blind(BLURS["filter flow"]()).explain(order=("H",))
    assert "w1·AᵀA + w3" in flow
    assert "conjugate gradients" in flow


def test_a_kernel_that_nothing_else_names_is_data_until_it_is_ordered():
    lagrangian = Lagrangian(Quadratic(BLURS["convolution"]()))
    assert list(lagrangian.blocks) == ["I", "X"]
    assert list(lagrangian.structures) == ["I", "X", "H"]
    assert lagrangian.explain(("I",)).endswith("held fixed: X")
    assert "\nH " not in lagrangian.explain()
    assert "\nH " in lagrangian.explain(("H",))
    state = blind_state((1, 3, 6, 7))
    (step,) = lower(lagrangian, ("H",))
    assert gradient(lagrangian, "H", step(state, {}), {}).abs().max() < 1e-8


@pytest.mark.parametrize("name", ["convolution", "masked"])
@pytest.mark.parametrize(("channels", "kernels"), [(1, 1), (3, 1), (3, 3)])
@pytest.mark.parametrize("size", [(3, 4), (5, 7), (6, 6)])
def test_a_kernel_of_small_support_is_the_dense_solution(name, channels, kernels, size):
    """Supports that are half the image and more: the lags of a period meet."""
    lagrangian = blind(BLURS[name]())
    state = blind_state((2, channels, 6, 7), kernels)
    for entry in "HKU":
        state[entry] = torch.rand(2, kernels, *size, dtype=torch.float64)
    (step,) = lower(lagrangian, ("H",), CONVERGED)
    dense = dense_minimizer(lagrangian, "H", state, WEIGHTS)
    torch.testing.assert_close(step(state, WEIGHTS)["H"], dense, rtol=0, atol=1e-10)


def test_a_filter_flow_takes_no_small_kernel_as_a_block():
    lagrangian = blind(BLURS["filter flow"]())
    state = blind_state((1, 3, 8, 9), 2)
    for name in "HK":
        state[name] = random_kernel(batch=1, channels=2, size=(3, 4))
    del state["U"]
    state = lagrangian.start(state)
    update_image, update_kernel = lower(lagrangian, ("I", "H"), CONVERGED)
    small = update_image(state, WEIGHTS)["I"]
    with pytest.raises(ValueError, match=r"'H' has shape \(1, 2, 3, 4\).*as the image.*8×9"):
        update_kernel(state, WEIGHTS)
    for name in "HKU":
        state = state.replace(name, embed_kernel(state[name], (8, 9)))
    torch.testing.assert_close(update_image(state, WEIGHTS)["I"], small, rtol=0, atol=1e-12)
    assert update_kernel(state, WEIGHTS)["H"].shape == (1, 2, 8, 9)


def test_a_prior_on_the_kernel_asks_for_a_split():
    lagrangian = Lagrangian(Quadratic(BLURS["convolution"]()), Regularizer("H", Box()))
    with pytest.raises(ValueError, match=r"'H' has a prior.*Fourier-diagonal.*split it"):
        lower(lagrangian, ("H",))
