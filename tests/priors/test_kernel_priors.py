"""Priors of kernels and of gradients against brute-force minimization."""

import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unfold.priors import L0, HyperLaplacian, Ridge, Simplex


def objective(prior, x, v, step):
    return prior.value(x) + ((x - v) ** 2 / (2 * step)).sum((1, 2, 3))


@pytest.mark.parametrize("exponent", [0.05, 0.3, 0.5, 2 / 3, 0.95])
@given(v=st.floats(1e-3, 50), step=st.floats(1e-6, 50))
@settings(max_examples=60, deadline=None)
def test_hyper_laplacian_is_a_root_to_rounding(exponent, v, step):
    v = torch.full((1, 1, 1, 1), v, dtype=torch.float64)
    x = HyperLaplacian(exponent=exponent).prox(v, torch.full_like(v, step))
    if x.any():
        left = x - v + step * exponent * x ** (exponent - 1)
        assert left.abs().item() <= 1e-13 * max(1, v.item())


def test_hyper_laplacian_of_one_half_is_the_closed_form():
    """Xu et al., "L1/2 regularization", 2012: the root by a cosine."""
    v, step = torch.linspace(1.5, 4, 50, dtype=torch.float64).view(1, 1, 1, -1), 0.8
    angle = torch.arccos(step / 4 * (v / 3) ** -1.5)  # for ½(x − v)² + step √x
    want = 2 / 3 * v * (1 + torch.cos(2 / 3 * (torch.pi - angle)))
    got = HyperLaplacian(exponent=0.5).prox(v, torch.full((1, 1, 1, 1), step, dtype=v.dtype))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("step", [0.0, 1e-30, 1e-3])
def test_small_values_and_steps_stay_finite(step):
    v = torch.tensor([0.0, 1e-20, -1e-3, 1.0]).view(1, 1, 1, 4).requires_grad_()
    for prior in (L0(), L0(grouped=True), HyperLaplacian(), Ridge()):
        x = prior.prox(v, torch.full((1, 1, 1, 1), step))
        (slope,) = torch.autograd.grad(x.sum(), v)
        assert x.isfinite().all()
        assert slope.isfinite().all()
        assert x[..., -1].item() == pytest.approx(1, abs=2e-3)


@given(
    v=st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    step=st.lists(st.floats(0.05, 1), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_grouped_l0_keeps_or_drops_a_pixel_as_a_whole(v, step):
    prior = L0(grouped=True)
    v, step = (torch.tensor(a, dtype=torch.float64).view(1, 3, 1, 1) for a in (v, step))
    x = prior.prox(v, step)
    best = min(objective(prior, other, v, step) for other in (v, torch.zeros_like(v)))
    assert objective(prior, x, v, step) <= best + 1e-12


def brute_force_simplex(v, step):
    """min Σ (x − v)²/(2 step) over x >= 0, Σ x = 1, by SLSQP."""
    n = v.numel()
    v, step = v.flatten().numpy(), step.flatten().numpy()
    found = scipy.optimize.minimize(
        lambda x: ((x - v) ** 2 / (2 * step)).sum(), [1 / n] * n, jac=lambda x: (x - v) / step,
        method="SLSQP", bounds=[(0, None)] * n, options={"maxiter": 500, "ftol": 1e-15},
        constraints=[{"type": "eq", "fun": lambda x: x.sum() - 1, "jac": lambda x: 0 * x + 1}],
    )  # fmt: skip
    return torch.as_tensor(found.x)


@given(
    size=st.tuples(st.integers(3, 5), st.integers(3, 5)),
    support=st.sampled_from([None, 1, 2, 3]),
    varying=st.booleans(),
    spread=st.sampled_from([0.01, 0.3, 3.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_simplex_equals_an_independent_solver(size, support, varying, spread, seed):
    torch.manual_seed(seed)
    v = spread * torch.randn(1, 2, *size, dtype=torch.float64)
    step = torch.rand(1, 2, *size).double() + 0.2 if varying else torch.full((1, 1, 1, 1), 0.3)
    step = step.double()
    prior = Simplex(support=support)
    x = prior.prox(v, step)
    assert prior.value(x).item() == 0
    n, m = (support, support) if support else size
    top, left = size[0] // 2 - n // 2, size[1] // 2 - m // 2
    assert x.count_nonzero() == x[..., top : top + n, left : left + m].count_nonzero()
    for c in range(2):
        inside = v[0, c, top : top + n, left : left + m]
        steps = step.expand_as(v)[0, c, top : top + n, left : left + m]
        want = brute_force_simplex(inside, steps)
        got = x[0, c, top : top + n, left : left + m].flatten()
        torch.testing.assert_close(got, want, rtol=0, atol=2e-5)
        distance = [((y - inside.flatten()) ** 2 / steps.flatten()).sum() for y in (got, want)]
        assert distance[0] <= distance[1] * (1 + 1e-12) + 1e-9


def test_simplex_leaves_a_kernel_alone_and_is_exact_for_large_supports():
    kernel = torch.rand(1, 1, 64, 64, dtype=torch.float32).square()
    kernel = kernel / kernel.sum()
    one = torch.ones(1, 1, 1, 1)
    torch.testing.assert_close(Simplex().prox(kernel, one), kernel, rtol=0, atol=1e-7)
    x = Simplex(support=27).prox(kernel - 0.01, one)
    assert x.sum().item() == pytest.approx(1, abs=1e-5)
    point = torch.zeros(1, 1, 8, 8)
    point[..., 4, 4] = 5
    assert Simplex(support=1).prox(-point, one)[..., 4, 4] == 1


def test_simplex_has_the_gradient_of_the_projection():
    torch.manual_seed(3)
    v = torch.randn(1, 2, 4, 5, dtype=torch.float64).requires_grad_()
    step = (torch.rand(1, 2, 4, 5, dtype=torch.float64) + 0.3).requires_grad_()
    assert torch.autograd.gradcheck(Simplex(support=4).prox, (v, step))


def test_hyper_laplacian_has_the_gradient_of_the_root():
    v = torch.tensor([-2.0, 0.1, 0.9, 1.7], dtype=torch.float64).view(1, 1, 1, 4).requires_grad_()
    step = torch.tensor([0.2, 0.4, 0.1, 0.3], dtype=torch.float64).view(1, 1, 1, 4)
    assert torch.autograd.gradcheck(HyperLaplacian().prox, (v, step.requires_grad_()))


def test_values():
    x = torch.tensor([0.0, 4.0, -9.0, 0.0]).view(1, 2, 1, 2)
    assert L0().value(x).tolist() == [2]
    assert L0(grouped=True).value(x).tolist() == [2]
    assert L0(grouped=True).value(x[:, :, :, :1]).tolist() == [1]
    assert HyperLaplacian(exponent=0.5).value(x).tolist() == [5]
    assert Ridge().value(x).tolist() == [48.5]
    kernel = torch.zeros(2, 1, 3, 3)
    kernel[:, :, 1, 1], kernel[1, :, 0, 0] = 1, 0.1
    assert Simplex().value(kernel).tolist() == [0, float("inf")]
    kernel[1, :, 1, 1] = 0.9
    assert Simplex().value(kernel).tolist() == [0, 0]
    assert Simplex(support=1).value(kernel).tolist() == [0, float("inf")]
    kernel[1, :, 0, 0], kernel[1, :, 1, 1] = -0.1, 1.1
    assert Simplex().value(kernel).tolist() == [0, float("inf")]


@pytest.mark.parametrize("exponent", [0.0, 1.0, -0.5, float("nan")])
def test_exponents_that_are_none(exponent):
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        HyperLaplacian(exponent=exponent)


def test_supports_that_are_none():
    with pytest.raises(ValueError, match="must be at least 1"):
        Simplex(support=0)
    with pytest.raises(ValueError, match=r"support=5\) does not fit a block of 4×9"):
        Simplex(support=5).prox(torch.ones(1, 1, 4, 9), torch.ones(1, 1, 1, 1))


def test_grouped_l0_with_a_step_of_zero_keeps_what_is_there():
    v = torch.tensor([0.0, 0.3]).view(1, 2, 1, 1)
    assert torch.equal(L0(grouped=True).prox(v, torch.zeros(1, 1, 1, 1)), v)
