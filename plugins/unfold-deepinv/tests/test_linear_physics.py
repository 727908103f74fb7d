"""The operators of DeepInverse in formulas of unfold."""

import pytest
import torch

pytest.importorskip("deepinv")

import deepinv
from deepinv.optim import L2, PnP, TVPrior, optim_builder
from deepinv.physics import Blur, BlurFFT, Denoising, Downsampling, Inpainting, LinearPhysics
from unfold_deepinv import UnfoldDenoiser, linear_physics

import unfold as uf
from unfold.core import CG, State, lower
from unfold.core.affine import Affine
from unfold.core.expression import Entry
from unfold.priors.denoiser import Denoiser

SIZE = (2, 3, 10, 12)
EXACT = CG(maximum=500, tolerance=1e-12)


def kernel(h=4, w=3):
    generator = torch.Generator().manual_seed(3)
    k = torch.rand(1, 1, h, w, generator=generator, dtype=torch.float64)
    return k / k.sum()


def downsampling():
    return Downsampling(SIZE[1:], filter=kernel(), factor=2, padding="circular")


PHYSICS = {
    "blur, valid": lambda: Blur(kernel(), padding="valid"),
    "blur, circular": lambda: Blur(kernel(), padding="circular"),
    "blur, reflect": lambda: Blur(kernel(), padding="reflect"),
    "blur by FFT": lambda: BlurFFT(SIZE[1:], kernel()),
    "inpainting": lambda: Inpainting(SIZE[1:], mask=(torch.rand(1, *SIZE[2:]) < 0.7).double()),
    "downsampling": downsampling,
    "composed": lambda: (
        Inpainting(SIZE[1:], mask=torch.eye(10, 12).double()[None])
        * Blur(kernel(), padding="circular")
    ),
    "functions": lambda: LinearPhysics(A=lambda x: x.cumsum(-1), A_adjoint=reverse_cumsum),
}


def reverse_cumsum(y):
    return y.flip(-1).cumsum(-1).flip(-1)


def image(*size):
    generator = torch.Generator().manual_seed(5)
    return torch.rand(*(size or SIZE), generator=generator, dtype=torch.float64)


def dense(physics):
    """Its matrix for the second image of a batch."""
    basis = torch.eye(SIZE[1] * SIZE[2] * SIZE[3], dtype=torch.float64).view(-1, *SIZE[1:])
    return physics.A(basis).flatten(1).T


@pytest.fixture(params=PHYSICS)
def physics(request):
    torch.manual_seed(0)
    return PHYSICS[request.param]()


def test_the_operator_and_its_adjoint_are_those_of_the_matrix(physics):
    matrix, x = dense(physics), image()
    y, one = image(*physics.A(x).shape), x[1].flatten()
    residual = Affine(linear_physics(physics, Entry("x")) - Entry("y", "data"))
    state = State({"x": x, "y": y})
    torch.testing.assert_close(
        residual(state)[1].flatten(), matrix @ x[1].flatten() - y[1].flatten()
    )
    operator = residual.operator("x", state)
    torch.testing.assert_close(operator.mv(x)[1].flatten(), matrix @ one)
    torch.testing.assert_close(operator.adjoint(y)[1].flatten(), matrix.T @ y[1].flatten())
    torch.testing.assert_close((operator.mv(x) * y).sum(), (x * operator.adjoint(y)).sum())


def test_the_update_solves_the_dense_system(physics):
    """``(AᵀA + ρ) x = Aᵀ y + ρ z``, by Gaussian elimination."""
    matrix, rho = dense(physics), 0.3
    y, z = physics.A(image()) + 0.1, image().flip(-1)
    x, data, other = Entry("x"), Entry("y", "data"), Entry("z", "data")
    L = uf.sq(linear_physics(physics, x) - data) / 2 + rho / 2 * uf.sq(x - other)
    (step,) = lower(L.lagrangian, ("x",), EXACT)
    got = step(State({"x": torch.zeros(SIZE, dtype=torch.float64), "y": y, "z": z}), {})["x"]
    normal = matrix.T @ matrix + rho * torch.eye(len(matrix.T), dtype=torch.float64)
    right = matrix.T @ y.flatten(1).T + rho * z.flatten(1).T
    want = torch.linalg.solve(normal, right).T.view(SIZE)
    torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-9)


def test_a_blur_by_fft_is_divided_and_not_iterated():
    (x, z), y = uf.blocks("x z"), uf.data("y")
    solvers = []
    for physics in (PHYSICS["blur by FFT"](), PHYSICS["blur, circular"]()):
        L = uf.sq(linear_physics(physics, x) - y) / 2 + uf.constraint(x - z, 1.0) + uf.tv(z)
        solvers.append(next(line for line in L.explain().splitlines() if line.startswith("x ")))
    assert "Fourier-diagonal" in solvers[0]
    assert "matrix-free" in solvers[1]


def test_it_starts_at_the_adjoint_of_the_data():
    physics, (x, z) = downsampling(), uf.blocks("x z")
    L = 1e-9 * uf.sq(linear_physics(physics, x) - uf.data("y")) + uf.constraint(x - z, 1.0)
    y = physics.A(image())
    start = (L + 1e-9 * uf.tv(z)).solve(y=y, maximum=1)["x"]
    torch.testing.assert_close(start, physics.A_adjoint(y), rtol=0, atol=1e-6)


def test_later_parameters_of_the_physics_count():
    physics = PHYSICS["blur by FFT"]()
    term, state = Affine(linear_physics(physics, Entry("x"))), State({"x": image()})
    for size in ((3, 3), (5, 2)):
        physics.update(filter=kernel(*size))
        torch.testing.assert_close(term(state), physics.A(image()))
        torch.testing.assert_close(term.operator("x", state).mv(image()), physics.A(image()))


def test_total_variation_reaches_the_minimum_that_deepinverse_reaches():
    """Deblurring of a valid convolution: two algorithms, two implementations of the prior."""
    physics, truth, weight = PHYSICS["blur, valid"](), torch.zeros(1, 1, 14, 14).double(), 0.02
    truth[..., 4:11, 5:12] = 0.8
    generator = torch.Generator().manual_seed(0)
    y = physics.A(truth)
    y = y + 0.02 * torch.randn(y.shape, generator=generator, dtype=torch.float64)
    x, z = uf.blocks("x z")
    L = uf.sq(linear_physics(physics, x) - uf.data("y")) / 2 + uf.constraint(x - z, 0.1)
    prior = uf.prior("total-variation", iterations=100)
    ours = (L + weight * prior(z)).solve(y=y, maximum=50, tolerance=1e-5)["z"]
    theirs = optim_builder(
        "PGD",
        data_fidelity=L2(),
        prior=TVPrior(n_it_max=40),
        max_iter=60,
        params_algo={"stepsize": 1.0, "lambda": weight},
        custom_init=lambda y, physics: physics.A_adjoint(y),
    )(y, physics)
    objective = lambda x: L2()(x, y, physics) + weight * TVPrior()(x)  # noqa: E731
    assert objective(ours) < 0.6 * objective(physics.A_adjoint(y))
    assert objective(ours) <= objective(theirs) <= 1.005 * objective(ours)
    assert (ours - theirs).square().mean().sqrt() < 0.02


@torch.no_grad()
@pytest.mark.parametrize("name", ["blur, reflect", "downsampling"])
def test_learned_prior_makes_the_rounds_that_deepinverse_makes(name):
    """Half-quadratic splitting, three rounds, there by its solver and here by ours."""
    physics, prior = PHYSICS[name](), Denoiser().double()
    deepinv.physics.LinearPhysics.set_ls_solver(physics, "CG", max_iter=500, tol=1e-12)
    y, rho, sigma = physics.A(image()), 0.4, 0.1
    x, z = uf.blocks("x z")
    L = uf.sq(linear_physics(physics, x) - uf.data("y")) / 2 + rho / 2 * uf.sq(x - z)
    L = L + rho * sigma**2 * prior(z)
    start = physics.A_adjoint(y)
    net = L.unroll(3, start={"x": start, "z": start}, output="z", order=("x", "z"))
    theirs = optim_builder(
        "HQS",
        data_fidelity=L2(),
        prior=PnP(UnfoldDenoiser(prior)),
        max_iter=3,
        early_stop=False,
        params_algo={"stepsize": 1 / rho, "g_param": sigma, "lambda": 1.0},
        custom_init=lambda y, physics: physics.A_adjoint(y),
    )(y, physics)
    torch.testing.assert_close(net(y=y), theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("physics", [Denoising().stack(Denoising()), None])
def test_what_is_no_linear_map_to_one_tensor_is_refused(physics):
    with pytest.raises(TypeError, match="needs a deepinv.physics.LinearPhysics"):
        linear_physics(physics, Entry("x"))
