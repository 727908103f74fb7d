"""Equilibria: the fixed point and its gradient are those of many rounds, or the run is refused."""

import pytest
import torch
from systems import random_kernel
from torch import nn

import unfold as uf
from unfold.core import CG, Equilibrium, EquilibriumError, FixedPenalties, Prior, Stage, lower
from unfold.core.fixed_point import anderson, arnoldi, resolvent

SIZE = (5, 6)


class Small(Prior):
    """``a v / (1 + step) + b·net(v)``: for a = 0.6, b = 0.3 its Lipschitz constant is below one."""

    def __init__(self, slope=0.6, share=0.3):
        super().__init__()
        self.slope, self.share = slope, share
        self.net = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 3, 3, padding=1)
        ).double()

    def prox(self, v, step):
        return self.slope * v / (1 + step) + self.share * self.net(v)


def deconvolution(prior):
    x, z = uf.blocks("x z")
    y, k = uf.data("y k")
    square = uf.sq(uf.conv(k, x) - y) / 2
    return square + uf.penalties("w") * prior(z) + uf.constraint(x - z, "rho")


def product():
    """Two factors of which one is tied to a bounded copy."""
    p, q, r = uf.blocks("p q r")
    return (
        uf.sq(uf.data("y") - p * q) / 2 + 0.3 * uf.ridge(p) + 0.3 * uf.ridge(q)
        + uf.constraint(p - r, "rho") + uf.box(r, 0.0, 1.05)
    )  # fmt: skip


def images(batch=2):
    torch.manual_seed(0)
    return torch.rand(batch, 3, *SIZE, dtype=torch.float64)


def cases():
    """Objective, output, penalties, data, rounds that suffice."""
    torch.manual_seed(1)
    y = {"y": images()}
    kernel = {"k": 0.4 * random_kernel(1, 1, (3, 3))}
    kernel["k"][..., 1, 1] += 0.6
    tv = uf.prior("total-variation", iterations=4)
    (x, z), (k, m) = uf.blocks("x z"), uf.data("k m")
    masked = uf.sq(m * uf.conv(k, x) - uf.data("y")) / 2 + 0.1 * uf.l1(z)
    masked = masked + uf.constraint(x - z, "rho")
    mask = {"m": 0.9 + 0.1 * torch.rand(1, 1, *SIZE, dtype=torch.float64)}
    return {
        "total variation": (deconvolution(tv), "z", {"rho": 0.4, "w": 0.1}, y | kernel, 34),
        "product": (product(), "q", {"rho": 0.7}, {"y": images() + 1}, 90),
        "learned": (deconvolution(Small()), "z", {"rho": 0.4, "w": 0.1}, y | kernel, 34),
        "conjugate gradients": (masked, "z", {"rho": 0.4}, y | kernel | mask, 50),
    }


CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_output_and_gradient_are_those_of_many_rounds(name):
    objective, output, penalties, data, rounds = CASES[name]
    cg = CG(maximum=400, tolerance=1e-12)
    options = {"penalties": penalties, "output": output, "start": uf.data("y"), "cg": cg}
    networks = (
        objective.equilibrium(**options, tolerance=1e-10),
        objective.unroll(rounds, **options),
    )
    data = {n: v.clone().requires_grad_() for n, v in data.items()}
    found = []
    for network in networks:
        network.double()
        image = network(**data)
        inputs = (*data.values(), *network.parameters())
        loss = (image * torch.linspace(0, 1, SIZE[1], dtype=image.dtype)).square().sum()
        found.append((image, *torch.autograd.grad(loss, inputs)))
    for index, (got, want) in enumerate(zip(*found, strict=True)):
        # (Where every prox is exact, the fixed point depends on no penalty of a constraint.)
        assert want.abs().max() > 1e-3 or index > len(data)
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)


def test_gradcheck():
    objective, output, penalties, data, _ = CASES["learned"]
    network = objective.equilibrium(output=output, penalties=penalties, tolerance=1e-12).double()
    y = torch.rand(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    k = data["k"].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda y, k: network(y=y, k=k), (y, k), fast_mode=True)


def kept(tolerance):
    """Rounds, and numbers that are kept for the gradient."""
    objective, output, penalties, data, _ = CASES["learned"]
    network = objective.equilibrium(output=output, penalties=penalties, tolerance=tolerance)
    network.double()
    rounds, numbers = [], []
    prior = network.stages.stages[0].lagrangian.priors["z"]
    hook = prior.register_forward_hook(lambda *_: rounds.append(1))
    with torch.autograd.graph.saved_tensors_hooks(lambda t: numbers.append(t.numel()), id):
        network(**data)
    hook.remove()
    return len(rounds), sum(numbers)


def test_memory_does_not_grow_with_the_rounds():
    (few, small), (many, large) = kept(1e-2), kept(1e-11)
    assert many > 2 * few
    assert small == large > 0


def test_without_gradients_nothing_is_linearized():
    objective, output, penalties, data, _ = CASES["learned"]
    network = objective.equilibrium(output=output, penalties=penalties).double()
    wanted = network(**data)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    image = network(**data)
    assert wanted.requires_grad
    assert not image.requires_grad
    torch.testing.assert_close(image, wanted.detach(), rtol=0, atol=1e-3)


def equilibrium(slope, **options):
    _, output, penalties, _, _ = CASES["learned"]
    expansive = deconvolution(Small(slope=slope, share=0.0))
    return expansive.equilibrium(output=output, penalties=penalties, **options).double()


def test_an_expansive_round_is_refused_with_the_block_and_its_factor():
    data = {"y": images(), "k": random_kernel()}
    with pytest.raises(EquilibriumError, match=r"changes \w+ by .* multiplies small errors there"):
        equilibrium(slope=1.5, maximum=30)(**data)
    network = equilibrium(slope=1.5, maximum=30)
    with torch.inference_mode(), pytest.raises(EquilibriumError, match="multiplies small errors"):
        network(y=images() + 0, k=random_kernel() + 0)
    with pytest.raises(EquilibriumError, match=r"contracts small errors there by 0\.\d+, which"):
        equilibrium(slope=0.9, maximum=3, tolerance=1e-9)(**data)
    with pytest.raises(EquilibriumError, match="not finite"):
        equilibrium(slope=float("inf"))(**data)


def test_a_fixed_point_that_repels_has_no_gradient():
    """Anderson acceleration finds some that the rounds themselves lead away from."""
    network = equilibrium(slope=1.5, tolerance=1e-6)
    image = network(y=images(), k=torch.full((1, 1, 1, 1), 0.2, dtype=torch.float64))
    with pytest.raises(EquilibriumError, match="it is unstable"):
        image.sum().backward()


def test_a_gradient_that_takes_too_long_is_refused():
    network = equilibrium(slope=0.99, tolerance=1e-3)
    image = network(y=images(), k=random_kernel())
    network.stages.maximum = 1
    network.stages.tolerance = 1e-15
    with pytest.raises(EquilibriumError, match="raise maximum"):
        image.square().sum().backward()


def test_options_are_checked():
    objective = product()
    stage = Stage(lower(objective.lagrangian, objective.order), FixedPenalties({"rho": 1.0}))
    for options in ({"tolerance": 0.0}, {"maximum": 0}):
        with pytest.raises(ValueError, match="tolerance is|maximum is"):
            Equilibrium(stage, **options)
    with pytest.raises(ValueError, match="'s' is no block"):
        objective.equilibrium(output="s")
    with pytest.raises(ValueError, match="sigma is no penalty"):
        objective.equilibrium(output="p", penalties={"sigma": 1.0})


@pytest.fixture
def matrix():
    torch.manual_seed(2)
    found = torch.randn(2, 40, 40, dtype=torch.float64)
    return 0.9 * found / torch.linalg.eigvals(found).abs().amax(1)[:, None, None]


def test_krylov_methods_equal_dense_algebra(matrix):
    def apply(v):
        return (matrix @ v[..., None])[..., 0]

    rhs = torch.randn(2, 40, dtype=torch.float64)
    got, _ = resolvent(apply, rhs, tolerance=1e-11, maximum=1000)
    want = torch.linalg.solve(torch.eye(40) - matrix, rhs)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-8)
    factor, doubt = arnoldi(apply, rhs, 40).radius()
    torch.testing.assert_close(factor, torch.full_like(factor, 0.9), rtol=0, atol=1e-8)
    assert doubt.max() < 1e-8
    got, _ = resolvent(apply, torch.zeros_like(rhs), tolerance=1e-11, maximum=1000)
    assert (got == 0).all()


def test_anderson_acceleration_solves_in_fewer_rounds_than_it_takes_without(matrix):
    symmetric = (matrix + matrix.mT) / 2
    symmetric = 0.98 * symmetric / torch.linalg.eigvalsh(symmetric).abs().amax(1)[:, None, None]
    offset = torch.randn(2, 40, dtype=torch.float64)

    def step(x):
        return (symmetric @ x[..., None])[..., 0] + offset

    found = anderson(step, torch.zeros_like(offset), tolerance=1e-9, maximum=500)
    want = torch.linalg.solve(torch.eye(40) - symmetric, offset)
    torch.testing.assert_close(found.image, want, rtol=0, atol=1e-5)
    assert found.count < 250  # (without: about 1000)
