"""Every exact prox against brute-force minimization and against reference implementations."""

import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.restoration import denoise_tv_chambolle

from unfold.priors import (
    L0,
    Box,
    HyperLaplacian,
    Identity,
    Ridge,
    SoftThreshold,
    TotalVariation,
)

PIXELWISE = {
    "identity": Identity(),
    "box": Box(low=-0.2, high=0.6),
    "half-open box": Box(low=0.1, high=float("inf")),
    "soft-threshold": SoftThreshold(),
    "l0": L0(),
    "hyper-laplacian, 1/2": HyperLaplacian(exponent=0.5),
    "hyper-laplacian, 2/3": HyperLaplacian(),
    "hyper-laplacian, 0.05": HyperLaplacian(exponent=0.05),
    "hyper-laplacian, 0.95": HyperLaplacian(exponent=0.95),
    "ridge": Ridge(),
}


def objective(prior, x, v, step):
    return prior.value(x) + ((x - v) ** 2 / (2 * step)).sum((1, 2, 3))


@pytest.mark.parametrize("name", PIXELWISE)
@given(v=st.floats(-2, 2), step=st.floats(1e-3, 3))
@settings(max_examples=40, deadline=None)
def test_prox_beats_a_search_over_a_fine_grid(name, v, step):
    prior = PIXELWISE[name]
    v = torch.full((1, 1, 1, 1), v, dtype=torch.float64)
    step = torch.full_like(v, step)
    x = prior.prox(v, step)
    # Every candidate is an image of one pixel.
    candidates = torch.linspace(-2.5, 2.5, 4001, dtype=torch.float64).view(-1, 1, 1, 1)
    best = objective(prior, candidates, v, step).min()
    assert objective(prior, x, v, step) <= best + 1e-12


@pytest.mark.parametrize("name", PIXELWISE)
def test_prox_acts_pixel_by_pixel_with_a_step_of_its_own(name):
    prior = PIXELWISE[name]
    v = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    step = torch.rand(2, 1, 4, 5, dtype=torch.float64) + 0.1
    whole = prior.prox(v, step)
    for b, c, i, j in ((0, 0, 0, 0), (1, 2, 3, 4), (0, 1, 2, 3)):
        one = prior.prox(v[b, c, i, j].view(1, 1, 1, 1), step[b, 0, i, j].view(1, 1, 1, 1))
        assert one.item() == whole[b, c, i, j].item()


def brute_force_tv(v, step):
    """min TV(x) + Σ (x − v)²/(2 step) as a smooth cone program: bounds on the dual by SLSQP."""
    h, w = v.shape

    def gradient(x):
        down, right = torch.zeros(h, w).double(), torch.zeros(h, w).double()
        down[:-1], right[:, :-1] = x[1:] - x[:-1], x[:, 1:] - x[:, :-1]
        return torch.stack((down, right))

    n = h * w
    jacobian = torch.func.jacrev(lambda x: gradient(x.view(h, w)).flatten())(v.flatten())
    s = step.flatten()

    def dual(p):
        p = torch.as_tensor(p)
        pulled = jacobian.T @ p
        value = (s * pulled**2).sum() / 2 - pulled @ v.flatten()
        return value.item(), (jacobian @ (s * pulled - v.flatten())).numpy()

    ball = {
        "type": "ineq",
        "fun": lambda p: 1 - p[:n] ** 2 - p[n:] ** 2,
    }
    found = scipy.optimize.minimize(
        dual, 0.1 * torch.randn(2 * n).double().numpy(), jac=True, method="SLSQP",
        constraints=[ball], options={"maxiter": 500, "ftol": 1e-14},
    )  # fmt: skip
    return (v.flatten() - s * (jacobian.T @ torch.as_tensor(found.x))).view(h, w)


def checkered(size):
    """Each pixel's step a hundred times that of its neighbors, or a hundredth of it."""
    rows, columns = torch.meshgrid(*map(torch.arange, size), indexing="ij")
    return 0.01 + ((rows + columns) % 2).double()


STEPS = {
    "constant": lambda size: torch.full((1, 1), 0.15).double(),
    "random": lambda size: torch.rand(size, dtype=torch.float64) ** 3 + 0.01,
    "checkered": checkered,
}


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("size", [(4, 5), (1, 6), (5, 1), (3, 3)])
def test_total_variation_beats_an_independent_solver(size, steps):
    v = torch.rand(1, 1, *size, dtype=torch.float64)
    step = STEPS[steps](size)[None, None]
    prior = TotalVariation(iterations=3000)
    x = prior.prox(v, step)
    other = brute_force_tv(v[0, 0], step.expand_as(v)[0, 0])[None, None]
    assert objective(prior, x, v, step) <= objective(prior, other, v, step) + 1e-6
    torch.testing.assert_close(x, other, rtol=0, atol=1e-4)


def test_total_variation_agrees_with_scikit_image():
    v = torch.rand(1, 1, 16, 13, dtype=torch.float64)
    step = torch.full((1, 1, 1, 1), 0.2).double()
    want = denoise_tv_chambolle(v[0, 0].numpy(), weight=0.2, eps=1e-12, max_num_iter=20000)
    got = TotalVariation(iterations=2000).prox(v, step)[0, 0]
    torch.testing.assert_close(got, torch.as_tensor(want), rtol=0, atol=5e-4)


def test_total_variation_converges_as_fast_for_a_varying_step():
    """Twenty dual steps reach the optimum to a thousandth even if steps differ a hundredfold."""
    v = torch.rand(1, 1, 24, 24, dtype=torch.float64)
    step = torch.logspace(-3, -1, 24).double().expand(1, 1, 24, 24)
    best = objective(TotalVariation(), TotalVariation(iterations=5000).prox(v, step), v, step)
    for step_count, error in ((20, 1e-2), (100, 1e-4)):
        got = TotalVariation(iterations=step_count).prox(v, step)
        assert objective(TotalVariation(), got, v, step) <= best * (1 + error)


def test_total_variation_has_finite_gradients_on_flat_images():
    v = torch.full((1, 1, 5, 5), 0.5, dtype=torch.float64, requires_grad=True)
    prior = TotalVariation(iterations=5)
    (prior.prox(v, torch.ones(1, 1, 1, 1).double()).sum() + prior.value(v).sum()).backward()
    assert v.grad is not None
    assert v.grad.isfinite().all()


def test_total_variation_leaves_pixels_with_a_step_of_zero():
    v = torch.rand(1, 1, 6, 6, dtype=torch.float64)
    step = torch.zeros_like(v)
    assert torch.equal(TotalVariation().prox(v, step), v)
    step[..., 3:] = 0.2
    x = TotalVariation().prox(v, step)
    assert torch.equal(x[..., :3], v[..., :3])
    assert x.isfinite().all()
    assert not torch.equal(x, v)


def test_values_of_known_images():
    x = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    x[..., 1, 1] = 1.0  # a point: differences −1,−1 at it, and +1 once above and once left
    assert TotalVariation().value(x).item() == pytest.approx(2 + 2**0.5)
    assert SoftThreshold().value(-2 * x).item() == 2
    assert Box().value(x).item() == 0
    assert Box().value(x + 0.5).item() == float("inf")


def test_refuses():
    with pytest.raises(ValueError, match="below high"):
        Box(low=1.0, high=0.0)
    with pytest.raises(ValueError, match="at least 1"):
        TotalVariation(iterations=0)
