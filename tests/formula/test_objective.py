"""Objectives: written, explained, solved, split, unrolled, and written down."""

import copy
import warnings

import numpy as np
import pytest
import scipy.optimize
import torch
from systems import JUDE_ORDER, gradient, jude, random_kernel, random_state

import unfold as uf
from unfold.core import State
from unfold.models.jude import jude_objective
from unfold.priors import IRCNN, ResUNet, SoftThreshold
from unfold.priors.closed_form import Poisson

SHAPE = (1, 3, 8, 10)


@pytest.fixture
def problem():
    torch.manual_seed(0)
    x, z = uf.blocks("x z")
    y, k = uf.data("y k")
    objective = uf.sq(uf.conv(k, x) - y) / 2 + 0.02 * uf.l1(z) + uf.constraint(x - z, "rho")
    data = {"y": torch.rand(SHAPE, dtype=torch.float64), "k": random_kernel(1, 1, (3, 3))}
    return objective, data


def test_the_printed_formula_is_the_declared_lagrangian():
    torch.manual_seed(0)
    state = State(random_state([*JUDE_ORDER, "X"], (2, 3, 6, 7)))
    penalties = {"w1": 1.3, "w2": 0.7, "w3": 0.5, "w4": 0.9, "w5": 0.4}
    formula, declared = jude_objective().lagrangian, jude()
    torch.testing.assert_close(
        formula.value(state, penalties), declared.value(state, penalties), rtol=1e-14, atol=0
    )
    for block in "IZPRQL":
        torch.testing.assert_close(
            gradient(formula, block, state, penalties), gradient(declared, block, state, penalties)
        )


def test_a_solution_minimizes_the_objective(problem):
    _, data = problem
    x, (y, k) = uf.blocks("x"), uf.data("y k")
    objective = (uf.sq(uf.conv(k, x) - y) / 2 + uf.box(x, 0.2, 0.7)).split("rho")
    solution = objective.solve(**data, rho=0.1, tolerance=1e-9, maximum=4000)
    assert solution.converged
    torch.testing.assert_close(solution["x"], solution["z1"], rtol=0, atol=1e-7)

    def energy(flat):
        value = torch.from_numpy(flat).view(SHAPE).requires_grad_()
        spectrum = torch.fft.rfft2(value) * _spectrum(data["k"])
        total = (torch.fft.irfft2(spectrum, s=SHAPE[-2:]) - data["y"]).square().sum() / 2
        total.backward()
        return total.item(), value.grad.numpy().ravel()

    start = data["y"].numpy().ravel()
    found = scipy.optimize.minimize(
        energy, start, jac=True, method="L-BFGS-B", bounds=[(0.2, 0.7)] * start.size,
        options={"maxiter": 5000, "ftol": 1e-15, "gtol": 1e-10},
    )  # fmt: skip
    assert abs(energy(solution["z1"].numpy().ravel())[0] - found.fun) < 1e-7


def _spectrum(kernel, size=SHAPE[-2:]):
    h, w = kernel.shape[-2:]
    placed = torch.zeros(1, 1, *size, dtype=kernel.dtype)
    placed[..., :h, :w] = kernel
    return torch.fft.rfft2(placed.roll((-(h // 2), -(w // 2)), (-2, -1)))


def test_weights_are_what_they_are_written_as():
    x, y, w = uf.blocks("x"), uf.data("y"), uf.penalties("w")
    state = {"x": torch.rand(1, 1, 2, 3).double(), "y": torch.rand(1, 1, 2, 3).double()}
    square = (state["x"] - state["y"]).square().sum()
    for term, want in (
        (uf.sq(x - y), square),
        (uf.sq(x - y) / 2, square / 2),
        (w * uf.sq(x - y), 3 * square),
        (w / 2 * uf.sq(x - y), 3 * square / 2),
        (0.25 * (2 * w) * uf.sq(x - y), 1.5 * square),
        (uf.sq(x - y) * 0.1 + 2 * w * uf.l1(x), 0.1 * square + 6 * state["x"].abs().sum()),
    ):
        got = uf.Objective(term) if not isinstance(term, uf.Objective) else term
        torch.testing.assert_close(got.lagrangian.value(state, {"w": 3.0}), want)


def test_split_gives_each_prior_a_block_that_a_division_solves_for():
    x, (y, k, m) = uf.blocks("x"), uf.data("y k m")
    fit = uf.sq(uf.conv(k, x) - y) / 2
    objective = (fit + uf.l1(x) + uf.l1(uf.grad(x)) + uf.box(x)).split("rho")
    assert set(objective.blocks) == {"x", "z1", "z2", "z3"}
    assert objective.penalties == ("rho",)
    assert "∇x − z1" in objective.explain()
    # What can act where it is put stays there.
    assert (uf.sq(x - y) + uf.l1(x)).split().blocks == ("x",)
    assert (uf.sq(m * x - y) + uf.l1(x)).split().blocks == ("x",)
    assert (uf.sq(x - y) + uf.l1(x) + uf.box(x)).split().blocks == ("x", "z1")
    z1 = uf.blocks("z1")
    assert (fit + uf.sq(z1 - x) + uf.l1(x)).split().blocks == ("x", "z1", "z2")


def test_blocks_start_where_a_residual_places_them(problem):
    from unfold.core.solution import started

    objective, data = problem
    state = started(objective, data, {})
    assert state["x"] is data["y"]
    torch.testing.assert_close(state["z"], data["y"])
    x, (y, k) = uf.blocks("x"), uf.data("y k")
    small = (uf.sq(uf.downsample(uf.conv(k, x), 2) - y) + uf.l1(uf.grad(x))).split()
    state = started(small, data, {})
    assert state["x"].shape == (1, 3, 16, 20)
    assert state["z1"].shape == (1, 6, 16, 20)
    given = started(objective, data, {"z": torch.zeros(SHAPE).double(), x: y})
    assert given["z"].abs().max() == 0
    p, q = uf.blocks("p q")
    with pytest.raises(ValueError, match="start of p, q: give start="):
        started(uf.Objective(uf.sq(y - p * q)), {"y": data["y"]}, {})


def test_a_batch_has_its_own_kernels_and_weights(problem):
    objective, _ = problem
    ys, ks = torch.rand(3, 3, 8, 10).double(), random_kernel(3, 1, (3, 3))
    rho = torch.tensor([0.1, 0.2, 0.3]).double().view(3, 1, 1, 1)
    together = objective.solve(y=ys, k=ks, rho=rho, tolerance=1e-8, maximum=3000)
    for i in range(3):
        alone = objective.solve(
            y=ys[i : i + 1], k=ks[i : i + 1], rho=rho[i].item(), tolerance=1e-8, maximum=3000
        )
        torch.testing.assert_close(together["x"][i : i + 1], alone["x"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("tied", [True, False])
def test_an_unrolled_network_learns(tied):
    torch.manual_seed(0)
    x, z = uf.blocks("x z")
    y, k = uf.data("y k")
    objective = (
        uf.sq(uf.conv(k, x) - y) / 2
        + uf.penalties("w") * ResUNet(3, widths=(4, 8), residual=True)(z)
        + uf.constraint(x - z, "rho")
    )
    net = objective.unroll(3, output=z, start=y, tied=tied, penalties={"rho": 0.1, "w": 0.01})
    sharp = torch.rand(2, 3, 16, 16)
    data = {"y": sharp + 0.1 * torch.randn_like(sharp), "k": torch.ones(1, 1, 3, 3) / 9}
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for _ in range(8):
        loss = (net(**data) - sharp).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(p.grad is not None for p in net.parameters())
    count = sum(p.numel() for p in ResUNet(3, widths=(4, 8), residual=True).parameters())
    assert sum(p.numel() for p in net.parameters()) == (count + 2) * (1 if tied else 3)
    other = copy.deepcopy(net)
    other.load_state_dict(net.state_dict())
    torch.testing.assert_close(other(**data), net(**data), rtol=0, atol=0)


def test_weights_are_printed_as_they_are_written():
    x, y, w = uf.blocks("x"), uf.data("y"), uf.penalties("w")
    r = uf.sq(x - y)
    printed = {
        r / 2: "½ ‖", r: "‖", 2 * r: "2 ‖", 0.01 * r: "0.01 ‖", 1.5 * r: "1.5 ‖", w * r: "w ‖",
        w / 2 * r: "w/2 ‖", 2 * w * r: "2·w ‖", 3 * w / 2 * r: "3·w/2 ‖",
    }  # fmt: skip
    for term, text in printed.items():
        assert repr(term).splitlines()[1].strip() == f"{text}x − y‖²"
    assert "⟩ + 2 ‖x − y‖²" in repr(uf.constraint(x - y, 4))


def test_a_solution_with_an_untrained_prior_by_name_warns():
    x, z = uf.blocks("x z")
    y, image = uf.data("y"), torch.rand(1, 3, 8, 8)
    terms = uf.sq(x - y) / 2 + uf.constraint(x - z, 1.0)
    prior = uf.prior("ircnn", width=4)(z)
    learned = terms + 0.01 * prior
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learned.unroll(1, output=z, start=y)(y=image)  # which is how it is trained
        (terms + 0.01 * IRCNN(3, width=4)(z)).solve(y=image, tolerance=10)  # the user's own
        (terms + 0.01 * uf.prior("denoiser")(z)).solve(y=image, tolerance=10)
    with pytest.warns(UserWarning, match=r"ircnn: the prior .* random weights.*unroll") as caught:
        learned.solve(y=image, tolerance=10)
    assert [warning.filename for warning in caught] == [__file__]
    prior.prior.requires_training = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learned.solve(y=image, tolerance=10)


def test_it_is_written_down_and_read_back(problem):
    objective, _ = problem
    again = uf.from_dict(objective.to_dict())
    assert again.explain() == objective.explain()
    jude = jude_objective(uf.penalties("p") * uf.tv(uf.blocks("P")), 0.3 * uf.box(uf.blocks("R")))
    assert uf.from_dict(jude.to_dict()).explain() == jude.explain()
    x, y, w = uf.blocks("x"), uf.data("y"), uf.penalties("w")
    scaled = 0.3 * w * uf.sq(x - y) + uf.prior("total-variation", iterations=7)(x)
    record = scaled.to_dict()
    assert record["terms"][0]["weight"] == "0.6*w"
    assert uf.from_dict(record).explain() == scaled.explain()
    assert uf.from_dict(record).to_dict() == record
    for prior in (SoftThreshold()(x), uf.box(x, 0, float("inf"))):
        with pytest.raises(ValueError, match="cannot be written down: create it by unfold.prior"):
            (uf.sq(x - y) + prior).to_dict()


def test_poissons_prox_is_the_minimizer():
    torch.manual_seed(0)
    counts = torch.tensor([0.0, 0.3, 1.0, 7.0]).double().view(1, 1, 2, 2)
    prior = Poisson("y").at({"y": counts})
    v, step = torch.tensor([0.2, -1.0, 0.5, 9.0]).double().view(1, 1, 2, 2), 0.7
    found = prior.prox(v, torch.full((1, 1, 1, 1), step).double()).flatten()
    for i in range(4):
        y, center = counts.flatten()[i].item(), v.flatten()[i].item()

        def cost(u, y=y, center=center):
            return u - (y * np.log(u) if y else 0) + (u - center) ** 2 / (2 * step)

        want = scipy.optimize.minimize_scalar(cost, bounds=(1e-9, 20), method="bounded",
                                              options={"xatol": 1e-10}).x  # fmt: skip
        assert abs(found[i].item() - want) < 1e-5
    with pytest.raises(TypeError, match="reads the counts 'y'"):
        Poisson("y").prox(v, v)


def test_poisson_noise_is_removed_by_two_splits():
    torch.manual_seed(0)
    x, (y, k) = uf.blocks("x"), uf.data("y k")
    objective = (uf.poisson(uf.conv(k, x), y) + 0.2 * uf.tv(x)).split("rho")
    sharp = torch.zeros(1, 1, 32, 32)
    sharp[..., 8:24, 8:24] = 40.0
    sharp += 5
    kernel = torch.ones(1, 1, 3, 3) / 9
    spectrum = torch.fft.rfft2(sharp) * _spectrum(kernel, (32, 32))
    blurred = torch.fft.irfft2(spectrum, s=(32, 32))
    counts = torch.poisson(blurred.clamp_min(0))
    solution = objective.solve(y=counts, k=kernel, rho=0.02, start={"x": counts}, maximum=300)
    error = (solution["x"] - sharp).square().mean()
    assert error < 0.3 * (counts - sharp).square().mean()
    with pytest.raises(ValueError, match="must be data, and is a block"):
        uf.poisson(x, uf.blocks("u"))


def test_what_is_wrong_is_refused_when_it_is_written():
    x, z = uf.blocks("x z")
    y, k = uf.data("y k")
    w, v = uf.penalties("w v")
    for write, error, problem in (
        (lambda: uf.sq(y - k), ValueError, "no block, only data"),
        (lambda: uf.tv(y), ValueError, "which is data"),
        (lambda: uf.tv(torch.rand(1, 1, 2, 2)), TypeError, "a block or an expression"),
        (
            lambda: 0.5 * uf.constraint(x - z, 1),
            TypeError,
            "give its penalty as the second argument",
        ),
        (lambda: uf.sq(x) - uf.sq(z), TypeError, "terms are added"),
        (lambda: w * (v * uf.sq(x)), TypeError, "penalties v and w: keep one"),
        (lambda: w * x, TypeError, "declare a factor of a block as data"),
        (lambda: uf.sq(3), TypeError, "sq takes an expression of blocks"),
        (lambda: uf.sq(x) + 3, TypeError, "a sum of terms"),
        (lambda: uf.sq(torch.rand(3) * x), TypeError, "declare it as data"),
        (lambda: uf.conv(torch.rand(3), x), TypeError, "declared blocks or data"),
        (lambda: uf.blocks("x x"), ValueError, "each once"),
        (lambda: uf.blocks(3), TypeError, "names must be a string"),
        (lambda: uf.blocks(""), ValueError, "one or several"),
        (lambda: uf.sq(x - y) + uf.sq(uf.blocks("y") - z), ValueError, "'y' is data and block"),
        (lambda: uf.blocks("a.b"), ValueError, "letters, digits and underscores"),
    ):
        with pytest.raises(error, match=problem):
            write()


def test_what_cannot_be_solved_is_refused_with_the_remedy(problem):
    objective, data = problem
    x, (y, k) = uf.blocks("x"), uf.data("y k")
    unsplit = uf.sq(uf.conv(k, x) - y) + uf.l1(x)
    for call, problem in (
        (lambda: objective.solve(y=data["y"]), "the data k has no value: give k=tensor"),
        (lambda: objective.solve(**data), "the penalty rho has no value"),
        (lambda: objective.solve(**data, rho=0.0), "must be a finite number, positive"),
        (lambda: objective.solve(**data, roh=1.0), "'roh' is neither data nor a penalty"),
        (
            lambda: objective.solve(y=data["y"][0], k=data["k"], rho=1),
            r"y must have shape.*\[None\]",
        ),
        (lambda: objective.solve(**data, rho=1, start={"q": 1}), "'q', which is no block"),
        (
            lambda: objective.solve(y=data["y"] / 0, k=data["k"], rho=1),
            "y has NaN or infinite values",
        ),
        (lambda: objective.solve(y=data["y"], k=torch.ones(1, 1, 20, 3).double(), rho=1), "crop"),
        (lambda: objective.unroll(3, output="y"), "'y' is no block"),
        (lambda: objective.unroll(0, output="x"), "an integer of at least 1"),
        (lambda: objective.unroll(3, output="x", penalties={"r": 1}), "r is no penalty"),
        (lambda: unsplit.solve(**data), r"Fourier-diagonal.*split it.*Objective.split\(\)"),
        (lambda: (uf.sq(x - y) + uf.l1(uf.grad(x))).explain(), r"split it, with .split\(\)"),
    ):
        with pytest.raises(ValueError, match=problem):
            call()
