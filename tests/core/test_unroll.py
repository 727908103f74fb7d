"""Stages, tied and untied; the history against residuals written by hand; runs to a tolerance."""

import numpy as np
import pytest
import scipy.optimize
import torch
from skimage.data import astronaut
from skimage.metrics import peak_signal_noise_ratio
from systems import JUDE_ORDER, JUDE_WEIGHTS, jude, random_kernel, random_state
from torch import nn

from unfold.core import (
    Constraint,
    Equal,
    FixedPenalties,
    History,
    Lagrangian,
    LearnedPenalties,
    Prior,
    Quadratic,
    Regularizer,
    Stage,
    Unrolled,
    Update,
    converge,
    lower,
)
from unfold.degradation import motion_kernel
from unfold.priors import Box, TotalVariation
from unfold.terms import Convolution


class Learned(Prior):
    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(3, 3, 3, padding=1)

    def prox(self, v, step):
        return self.net(v)


def learned_stage():
    lagrangian = jude(Regularizer("P", Learned()), Regularizer("Z", Learned()))
    return Stage(lower(lagrangian, JUDE_ORDER), LearnedPenalties(JUDE_WEIGHTS))


def deconvolution(prior, weight="s"):
    return Lagrangian(
        Quadratic(Convolution("I", kernel="H", observed="X"), 1.0),
        Constraint(Equal("I", "Z"), penalty="w", dual="D"),
        Regularizer("Z", prior, weight),
    )


def test_a_stage_owns_the_parameters_of_priors_and_weights():
    stage = learned_stage()
    names = {name for name, _ in stage.named_parameters()}
    assert names == {
        "lagrangian.priors.P.net.weight", "lagrangian.priors.P.net.bias",
        "lagrangian.priors.Z.net.weight", "lagrangian.priors.Z.net.bias",
        *(f"penalties.raw.{w}" for w in JUDE_WEIGHTS),
    }  # fmt: skip


def test_tied_and_untied_stages():
    def count(net):
        return sum(p.numel() for p in net.parameters())

    tied, untied = (
        Unrolled(learned_stage(), repeat=3),
        Unrolled([learned_stage() for _ in range(3)]),
    )
    assert count(untied) == 3 * count(tied)
    state = random_state(["P", "R", "Q", "L", "Z", "I", "X"], (2, 3, 6, 7), dtype=torch.float32)
    by_hand = jude().start(state)
    for _ in range(3):
        for step in tied.stages[0].steps:
            by_hand = step(by_hand, tied.stages[0].penalties(by_hand))
    got = tied(state)
    for name in JUDE_ORDER:
        assert torch.equal(got[name], by_hand[name])
    untied(state)["I"].sum().backward()
    missing = [n for n, p in untied.named_parameters() if p.grad is None]
    # The last stage's Γ and Ω act on nothing that follows; R and L are P and Q plus a zero dual.
    assert all(n.startswith("stages.2.penalties") or ".w3" in n or ".w4" in n for n in missing)


def test_state_dict_round_trip():
    one, other = Unrolled(learned_stage(), 2), Unrolled(learned_stage(), 2)
    other.load_state_dict(one.state_dict())
    state = random_state(["P", "R", "Q", "L", "Z", "I", "X"], (1, 3, 6, 7), dtype=torch.float32)
    assert torch.equal(one(state)["I"], other(state)["I"])


def test_weights_predicted_for_each_image_by_a_module():
    class Predicted(nn.Module):
        def forward(self, state):
            mean = state["X"].mean((1, 2, 3), keepdim=True)
            return {**JUDE_WEIGHTS, "w1": 1 + mean}

    state = random_state([*JUDE_ORDER, "X"], (2, 3, 6, 7))
    both = Stage(lower(jude(), JUDE_ORDER), Predicted())(state)
    one = {k: v[1:] for k, v in state.items()}
    single = Stage(lower(jude(), JUDE_ORDER), Predicted())(one)
    torch.testing.assert_close(both["I"][1:], single["I"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("value", [1e-6, 1e-3, 0.3, 1.0, 50.0, 1e3])
def test_learned_weights_start_where_told_and_stay_positive(value):
    penalties = LearnedPenalties({"w": value}).double()
    first = penalties({})["w"]
    assert first.item() == pytest.approx(value, rel=1e-5)
    # what softplus does to its argument: sigmoid = 1 − exp(−value)
    slope = torch.autograd.grad(first, penalties.raw["w"])[0].item()
    assert slope == pytest.approx(-np.expm1(-value), rel=1e-5)
    with torch.no_grad():
        penalties.raw["w"] -= 20
    assert penalties({})["w"] > 0
    with pytest.raises(ValueError, match="must be a finite number, positive"):
        LearnedPenalties({"w": 0.0})


def test_fixed_weights_are_no_parameters():
    with pytest.raises(TypeError, match="'w' is a Parameter: use LearnedPenalties"):
        FixedPenalties({"w": nn.Parameter(torch.ones(()))})


def test_a_handwritten_step_replaces_a_derived_one():
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(0.5))

        def forward(self, state, penalties):
            return state.replace("P", self.scale * state["P"])

    steps = lower(jude(), JUDE_ORDER)
    stage = Stage((Half(), *steps[1:]), JUDE_WEIGHTS)
    assert [n for n, _ in stage.named_parameters()] == ["handwritten.0.scale"]
    state = jude().start(random_state([*JUDE_ORDER, "X"], (1, 3, 6, 7)))
    assert torch.equal(stage(state)["P"], 0.5 * state["P"])


def test_a_stage_refuses_steps_of_two_lagrangians():
    steps = (*lower(jude(), ("P",)), *lower(jude(), ("R",)))
    with pytest.raises(ValueError, match=r"exactly one Lagrangian, got 2"):
        Stage(steps, JUDE_WEIGHTS)
    with pytest.raises(ValueError, match="at least one stage"):
        Unrolled([])


def test_ledger_holds_admms_primal_and_dual_residuals():
    """min ½‖HI − X‖² + g(Z), I = Z: the two residuals of Boyd et al. (2011), eq. 3.9-3.10."""
    lagrangian, penalties = deconvolution(Box()), {"w": 0.3, "s": 1.0}
    stage = Stage(lower(lagrangian, ("I", "Z", "D")), penalties)
    state = lagrangian.start(random_state(["I", "X", "Z"], (2, 3, 6, 7)))
    norm = lambda t: t.flatten(1).norm(dim=1)  # noqa: E731
    history = History()
    for _ in range(3):
        before, state = state, stage(state, history)
        entries = {e.block: e for e in history.stage(-1)}
        r = norm(state["I"] - state["Z"]) / torch.maximum(norm(state["I"]), norm(state["Z"]))
        torch.testing.assert_close(entries["I"].primal, r.to(entries["I"].primal.dtype))
        s = 0.3 * norm(state["Z"] - before["Z"])
        scale = _right_side(lagrangian, "I", state, penalties)
        torch.testing.assert_close(entries["I"].dual, s / scale, rtol=1e-6, atol=1e-12)
        assert entries["Z"].dual.max() < 1e-12
    torch.testing.assert_close(
        entries["Z"].lagrangian, lagrangian.values(before_ascent(stage, before), penalties)
    )
    assert [e.stage for e in history.entries] == [0, 0, 1, 1, 2, 2]
    assert history.penalties[0]["w"] == 0.3
    assert "block" in str(history)
    assert len(str(history).splitlines()) == 7


def before_ascent(stage, state):
    for step in stage.steps[:-1]:
        state = step(state, {"w": 0.3, "s": 1.0})
    return state


def _right_side(lagrangian, block, state, penalties):
    zero = torch.zeros_like(state[block]).requires_grad_()
    value = lagrangian.value({**state, block: zero}, penalties)
    return torch.autograd.grad(value, zero)[0].flatten(1).norm(dim=1)


@pytest.mark.parametrize("violated", "bcd")
def test_the_primal_residual_is_that_of_the_worst_constraint(violated):
    class Hold:
        block = "a"

        def __call__(self, state, penalties):
            return state

    lagrangian = Lagrangian(*(Constraint(Equal("a", x), 1.0, 2 * x) for x in "bcd"))
    state = {x: torch.full((1, 1, 2, 2), 1.0 if x == "a" else 2.0) for x in "abcd"}
    state[violated] *= 2
    history = History()
    history.record(lagrangian, [Hold()], lagrangian.start(state), {})
    assert history.entries[0].primal.item() == pytest.approx((4 - 1) / 4)


@pytest.mark.parametrize(
    ("primal", "dual", "converged"),
    [
        ((0.0, 0.0), (0.0, 0.1), True),
        ((0.0, 0.2), (0.0, 0.0), False),
        ((0.0, 0.0), (0.2, 0.0), False),
    ],
)
def test_converged_means_every_primal_and_dual_residual_of_the_last_stage(primal, dual, converged):
    def entry(stage, block, primal, dual):
        return Update(stage, block, torch.tensor(primal), torch.tensor(dual), torch.zeros(2), 0.0)

    history = History()
    history.penalties += [{}, {}]
    history.entries += [entry(0, "a", (1.0, 1.0), (1.0, 1.0)), entry(1, "a", primal, dual)]
    history.entries += [entry(1, "b", (0.0, 0.0), (0.0, 0.0))]
    assert history.converged(0.1) is converged


def test_a_ledger_changes_nothing():
    stage = learned_stage()
    net = Unrolled(stage, repeat=2)
    state = random_state(["P", "R", "Q", "L", "Z", "I", "X"], (1, 3, 6, 7), dtype=torch.float32)
    assert torch.equal(net(state)["I"], net(state, History())["I"])


def test_deconvolution_with_total_variation_reaches_the_optimum():
    """A convex instance against its dual, solved by SciPy: same objective to 1e-4."""
    size, mu = (6, 6), 0.05
    n = size[0] * size[1]
    kernel = random_kernel() * 0.4
    kernel[..., 1, 1] += 0.6
    x = torch.rand(1, 1, *size, dtype=torch.float64)
    state = {"I": x, "Z": x, "X": x, "H": kernel}
    lagrangian = deconvolution(TotalVariation(iterations=200), "mu")
    stage = Stage(lower(lagrangian, ("Z", "I", "D")), {"w": 0.3, "mu": mu})
    final, history = converge(stage, state, tolerance=1e-7, maximum=500)
    assert history.converged(1e-7)

    residual = Convolution("I", kernel="H", observed="X")

    def objective(image):
        fidelity = residual({**state, "I": image}).square().sum() / 2
        return (fidelity + mu * TotalVariation().value(image).sum()).item()

    def flat(function):
        return torch.func.jacrev(lambda v: function(v.view(1, 1, *size)).flatten())(x.flatten())

    blur = flat(lambda v: residual({**state, "I": v}))
    down = torch.zeros(n, n).double()
    right = torch.zeros(n, n).double()
    for i in range(size[0]):
        for j in range(size[1]):
            k = i * size[1] + j
            if i + 1 < size[0]:
                down[k, k], down[k, k + size[1]] = -1, 1
            if j + 1 < size[1]:
                right[k, k], right[k, k + 1] = -1, 1
    D = torch.cat((down, right))
    A, b = blur.T @ blur, blur.T @ x.flatten()
    inverse = torch.linalg.inv(A)

    def dual(p):
        left = b - mu * D.T @ torch.as_tensor(p)
        return (left @ inverse @ left / 2).item(), (-mu * D @ inverse @ left).numpy()

    ball = {"type": "ineq", "fun": lambda p: 1 - p[:n] ** 2 - p[n:] ** 2}
    found = scipy.optimize.minimize(
        dual, np.zeros(2 * n), jac=True, method="SLSQP", constraints=[ball],
        options={"maxiter": 1000, "ftol": 1e-13},
    )  # fmt: skip
    best = inverse @ (b - mu * D.T @ torch.as_tensor(found.x))
    best = objective(best.view(1, 1, *size))
    lower_bound = x.square().sum().item() / 2 - found.fun
    assert best == pytest.approx(lower_bound, rel=1e-4)
    assert objective(final["Z"]) == pytest.approx(best, rel=1e-4)


def test_known_kernel_deconvolution_within_100_iterations_of_the_reference():
    """31×31 motion blur, σ = 0.01, circular: PSNR within 0.1 dB of the converged solution."""
    sharp = torch.tensor(astronaut()[60:188, 160:288]).float().permute(2, 0, 1)[None] / 255
    kernel = motion_kernel(31, generator=torch.Generator().manual_seed(0))
    blur = Convolution("I", kernel="H", observed="X")
    blurred = blur({"I": sharp, "H": kernel, "X": torch.zeros_like(sharp)})
    noise = torch.randn(blurred.shape, generator=torch.Generator().manual_seed(1))
    blurred = blurred + 0.01 * noise
    state = {"I": blurred, "Z": blurred, "X": blurred, "H": kernel}

    def run(rounds, inner):
        lagrangian = deconvolution(TotalVariation(iterations=inner), 8e-4)
        stage = Stage(lower(lagrangian, ("Z", "I", "D")), {"w": 0.064})
        with torch.no_grad():
            return psnr(Unrolled(stage, repeat=rounds)(state)["Z"])

    def psnr(image):
        return peak_signal_noise_ratio(sharp.numpy(), image.clamp(0, 1).numpy(), data_range=1)

    fast, reference = run(60, inner=5), run(150, inner=30)
    assert reference > psnr(blurred) + 9
    assert abs(fast - reference) < 0.1


def test_converge_reports_when_it_did_not():
    lagrangian = deconvolution(Box())
    stage = Stage(lower(lagrangian, ("Z", "I", "D")), FixedPenalties({"w": 0.3, "s": 1.0}))
    _, history = converge(
        stage, random_state(["I", "X", "Z"], (1, 1, 6, 7)), tolerance=1e-9, maximum=3
    )
    assert not history.converged(1e-9)
    assert len(history.penalties) == 3
    with pytest.raises(ValueError, match=r"tolerance is 0\.0: must be a finite number, positive"):
        converge(stage, {}, tolerance=0.0)


def test_a_state_dict_of_an_older_version_loads():
    """There the penalties of a stage were called its weights."""

    def stage(value):
        lagrangian = Lagrangian(
            Quadratic(Equal("x", "y"), "w"), Constraint(Equal("x", "z"), "rho", "G")
        )
        return Stage(lower(lagrangian, ("x", "z")), LearnedPenalties({"w": value, "rho": value}))

    old, new = Unrolled(stage(2.0)), Unrolled(stage(3.0))
    assert not any("weights" in name for name in old.state_dict())
    new.load_state_dict({k.replace("penalties", "weights"): t for k, t in old.state_dict().items()})
    assert all(torch.equal(a, b) for a, b in zip(old.parameters(), new.parameters(), strict=True))
