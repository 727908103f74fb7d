"""Every derived update against autograd, against dense solves and against the papers' formulas."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import (
    ERA_ORDER,
    ERA_WEIGHTS,
    JUDE_ORDER,
    JUDE_WEIGHTS,
    dense_minimizer,
    era,
    gradient,
    jude,
    random_kernel,
    random_state,
)

from unfold.core import (
    CG,
    Constraint,
    Equal,
    Lagrangian,
    MatrixFree,
    MissingEntryError,
    Quadratic,
    Regularizer,
    State,
    lower,
)
from unfold.models.era import era_objective
from unfold.priors import Box, SoftThreshold, TotalVariation
from unfold.terms import Convolution, FilterFlow, Retinex, SparseError

F, Fi = torch.fft.fft2, torch.fft.ifft2


def full_otf(kernel, size):
    """The transfer function on the full complex grid, written apart from the library's."""
    h, w = kernel.shape[-2:]
    placed = torch.zeros(*kernel.shape[:2], *size, dtype=kernel.dtype)
    for i in range(h):
        for j in range(w):
            placed[..., (i - h // 2) % size[0], (j - w // 2) % size[1]] += kernel[..., i, j]
    return F(placed)


sizes = st.tuples(st.integers(1, 2), st.sampled_from([1, 3]), st.integers(5, 9), st.integers(5, 9))
kernels = st.tuples(st.integers(1, 5), st.integers(1, 5))


@given(shape=sizes, kernel=kernels, gray_light=st.booleans())
@settings(max_examples=25, deadline=None)
def test_jude_every_block_is_stationary_after_its_update(shape, kernel, gray_light):
    lagrangian = jude()
    light = ("Q", "L", "O") if gray_light else ()
    state = random_state([*JUDE_ORDER, "X"], shape, kernel, light)
    for step in lower(lagrangian, JUDE_ORDER):
        state = step(state, JUDE_WEIGHTS)
        if hasattr(step, "block"):
            assert gradient(lagrangian, step.block, state, JUDE_WEIGHTS).abs().max() < 1e-10
    for light_name in light:
        assert state[light_name].shape[1] == 1


@given(shape=sizes, kernel=kernels)
@settings(max_examples=25, deadline=None)
def test_era_every_block_is_stationary_after_its_update(shape, kernel):
    """With one kernel, as here, X is solved by FFT; for several see the next test."""
    lagrangian, penalties = era(), ERA_WEIGHTS
    state = random_state([*ERA_ORDER, "Y"], shape, kernel)
    for step in lower(lagrangian, ERA_ORDER):
        state = step(state, penalties)
        if getattr(step, "block", "E") != "E":
            assert gradient(lagrangian, step.block, state, penalties).abs().max() < 1e-10
        if getattr(step, "block", None) == "E":
            # 0 in smooth gradient + ws ∂|E|: equality where E is not zero, a bound where it is.
            smooth = state["U"] + state["E"] - state["Y"] + state["D"]
            smooth = smooth + penalties["w3"] * (state["E"] - state["P"])
            e = state["E"]
            assert (smooth + penalties["ws"] * e.sign())[e != 0].abs().max() < 1e-10
            assert smooth[e == 0].abs().max() <= penalties["ws"] + 1e-10


@pytest.mark.parametrize(
    ("cg", "stationary"),
    [(CG(maximum=300, tolerance=1e-14), True), (CG(maximum=4, tolerance=None), False)],
    ids=["converged", "four steps, as in ErA"],
)
def test_era_with_several_kernels_is_stationary_in_x_only_if_cg_converges(cg, stationary):
    flow = FilterFlow("X", kernels="K", maps="W", observed="U")
    lagrangian = era_objective(flow).lagrangian
    state = random_state([*ERA_ORDER, "Y"], (2, 3, 8, 9))
    kernels = torch.cat([random_kernel(2), random_kernel(2)], 1)
    maps = torch.rand(2, 2, 8, 9, dtype=torch.float64).softmax(1)
    state = {**state, "K": kernels, "W": maps}
    penalties = {"w0": 1.2, **ERA_WEIGHTS}
    for step in lower(lagrangian, ERA_ORDER, cg):
        state = step(state, penalties)
        if getattr(step, "block", "E") != "E":
            size = gradient(lagrangian, step.block, state, penalties).abs().max()
            assert (size < 1e-10) == (stationary or step.block != "X")


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (2, 3, 7, 9)])
def test_jude_updates_are_the_papers_formulas(shape):
    s = random_state([*JUDE_ORDER, "X"], shape)
    n = s
    w1, w2, w3, w4, w5 = JUDE_WEIGHTS.values()
    got = s
    for step in lower(jude(), JUDE_ORDER):
        got = step(got, JUDE_WEIGHTS)
    P = (w2 * n["Z"] * n["Q"] + w3 * n["R"] + n["G"]) / (w2 * n["Q"] ** 2 + w3)
    R = P - n["G"] / w3
    Q = (w2 * n["Z"] * P + w4 * n["L"] + n["O"]) / (w2 * P**2 + w4)
    L = Q - n["O"] / w4
    Z = (w2 * P * Q + w5 * n["I"] + n["D"]) / (w2 + w5)
    H = full_otf(n["H"], shape[-2:])
    top = w1 * H.conj() * F(n["X"]) + F(w5 * Z - n["D"])
    I = Fi(top / (w1 * H.abs() ** 2 + w5)).real
    want = {"P": P, "R": R, "Q": Q, "L": L, "Z": Z, "I": I}
    want |= {"G": n["G"] + w3 * (R - P), "O": n["O"] + w4 * (L - Q), "D": n["D"] + w5 * (I - Z)}
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, rtol=0, atol=1e-10)


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (2, 3, 7, 9)])
def test_era_updates_are_the_papers_formulas(shape):
    n = random_state([*ERA_ORDER, "Y"], shape)
    l1, l2, l3, ls = ERA_WEIGHTS.values()
    H = full_otf(n["H"], shape[-2:])
    got = n
    for step in lower(era(), ERA_ORDER):
        got = step(got, ERA_WEIGHTS)
    U = (l1 * Fi(H * F(n["X"])).real + n["G"] + n["Y"] - n["E"]) / (1 + l1)
    Z = n["X"] + n["O"] / l2
    top = H.conj() * F(l1 * U - n["G"]) + F(l2 * Z - n["O"])
    X = Fi(top / (l1 * H.abs() ** 2 + l2)).real
    v, t = (n["Y"] - U - n["D"] + l3 * n["P"]) / (1 + l3), ls / (1 + l3)
    E = v.sign() * (v.abs() - t).clamp_min(0)
    P = E + n["D"] / l3
    assert 0 < (E == 0).double().mean() < 1, "both branches of the threshold are needed"
    want = {"U": U, "Z": Z, "X": X, "E": E, "P": P}
    want |= {
        "G": n["G"] + l1 * (Fi(H * F(X)).real - U),
        "O": n["O"] + l2 * (X - Z),
        "D": n["D"] + l3 * (E - P),
    }
    for name, value in want.items():
        torch.testing.assert_close(got[name], value, rtol=0, atol=1e-10)


CASES = {
    "jude": (jude, JUDE_ORDER, JUDE_WEIGHTS, "X"),
    "era without its threshold": (
        lambda: Lagrangian(
            Quadratic(SparseError("U", error="E", observed="Y"), 1.0),
            Constraint(Convolution("X", kernel="H", observed="U"), penalty="w1", dual="G"),
            Constraint(Equal("X", "Z"), penalty="w2", dual="O"),
            Constraint(Equal("E", "P"), penalty="w3", dual="D"),
        ),
        ERA_ORDER,
        ERA_WEIGHTS,
        "Y",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_linear_solve_equals_a_dense_solve(case):
    make, order, penalties, observed = CASES[case]
    lagrangian = make()
    state = random_state([*order, observed], (1, 1, 8, 8))
    for step in lower(lagrangian, order):
        if hasattr(step, "block"):
            dense = dense_minimizer(lagrangian, step.block, state, penalties)
            got = step(state, penalties)[step.block]
            torch.testing.assert_close(got, dense, rtol=0, atol=1e-10)
        state = step(state, penalties)


def flow_and_mask():
    lagrangian = Lagrangian(
        Quadratic(FilterFlow("I", kernels="K", maps="W", observed="X"), "w1"),
        Quadratic(Retinex("Z", reflectance="I", illumination="M"), "w2"),
        Constraint(Equal("I", "V"), penalty="w3", dual="G"),
    )
    state = random_state(["I", "X", "Z", "M", "V", "G"], (1, 1, 8, 8))
    state["K"], state["W"] = random_kernel(1, 3), torch.rand(1, 3, 8, 8, dtype=torch.float64)
    return lagrangian, state, {"w1": 1.7, "w2": 0.5, "w3": 0.1}


def test_filter_flow_and_masked_blocks_are_solved_by_cg_to_the_dense_solution():
    lagrangian, state, penalties = flow_and_mask()
    (step,) = lower(lagrangian, ("I",), cg=CG(maximum=200, tolerance=1e-13))
    dense = dense_minimizer(lagrangian, "I", state, penalties)
    torch.testing.assert_close(step(state, penalties)["I"], dense, rtol=0, atol=1e-10)


@pytest.mark.parametrize("case", [*CASES, "flow and mask"])
def test_the_energy_is_the_quadratic_form_of_the_normal_matrix(case):
    if case == "flow and mask":
        lagrangian, state, penalties = flow_and_mask()
        blocks = ["I"]
    else:
        make, order, penalties, observed = CASES[case]
        lagrangian, state = make(), random_state([*order, observed], (2, 1, 8, 8))
        blocks = [name for name in order if name in lagrangian.structures]
    for block in blocks:
        normal = lagrangian.normal(block, State(state), penalties)
        x = torch.randn_like(state[block])
        want = (x * normal.apply(x)).sum((1, 2, 3), keepdim=True)
        torch.testing.assert_close(normal.energy(x), want, rtol=1e-12, atol=1e-12)


def test_one_iteration_applies_the_flow_once_if_its_value_at_the_start_is_known(monkeypatch):
    lagrangian, state, penalties = flow_and_mask()
    (step,) = lower(lagrangian, ("I",), cg=CG(maximum=1, tolerance=None))
    applied, mv = [], MatrixFree.mv
    monkeypatch.setattr(MatrixFree, "mv", lambda self, x: applied.append(1) or mv(self, x))
    state = State(state)
    with torch.no_grad():
        step(state, penalties)
        assert len(applied) == 2
        lagrangian.quadratics[0].residual(state)
        applied.clear()
        step(state, penalties)
        assert len(applied) == 1


def test_conjugate_gradients_do_not_amplify_rounding_by_the_condition_number():
    """Two warm-started steps in float32, as in ErA, against the same in float64. (``b − A x``
    errs by 1e-7 of the image in all frequencies, and division by the weight 1 of those that the
    blur removes makes it 1e-4.)"""
    flow = Quadratic(FilterFlow("X", kernels="K", maps="W", observed="Y"), 2000.0)
    lagrangian = Lagrangian(flow, Quadratic(Equal("X", "Z")))
    state = {"X": torch.rand(1, 3, 64, 64, dtype=torch.float64)}
    state["K"] = torch.ones(1, 2, 9, 9, dtype=torch.float64) / 81
    state["K"][:, 1, :4] /= 2
    state["W"] = torch.rand(1, 2, 64, 64, dtype=torch.float64).softmax(1)
    state["Y"] = flow.residual({**state, "Y": torch.zeros_like(state["X"])})
    state["Z"] = state["X"] + 1e-3 * torch.rand_like(state["X"])
    state = {name: value.float() for name, value in state.items()}
    (step,) = lower(lagrangian, ("X",), cg=CG(maximum=2, tolerance=None))
    want = step({name: value.double() for name, value in state.items()}, {})["X"]
    assert (want - state["X"]).abs().max() > 1e-4  # it moves
    torch.testing.assert_close(step(state, {})["X"].double(), want, rtol=0, atol=3e-6)


def test_a_gray_block_under_a_kernel_per_channel_is_solved_to_the_dense_solution():
    lagrangian = Lagrangian(
        Quadratic(Convolution("I", kernel="H", observed="X"), "w1"),
        Constraint(Equal("I", "V"), penalty="w3", dual="G"),
    )
    state = random_state(["I", "X", "V", "G"], (1, 3, 6, 5), one_channel="IVG")
    state["H"] = random_kernel(1, 3)
    penalties = {"w1": 1.7, "w3": 0.1}
    (step,) = lower(lagrangian, ("I",))
    dense = dense_minimizer(lagrangian, "I", state, penalties)
    torch.testing.assert_close(step(state, penalties)["I"], dense, rtol=0, atol=1e-10)


def per_image(penalties):
    """Other weights for the second image of two."""
    return {k: torch.tensor([v, 3 * v]).double().view(2, 1, 1, 1) for k, v in penalties.items()}


def one_by_one(state, penalties):
    for i in range(2):
        yield (
            {k: v[i : i + 1] for k, v in state.items()},
            {k: v[i].item() for k, v in penalties.items()},
        )


def test_weights_per_image_act_on_their_image_alone():
    lagrangian, penalties = jude(), per_image(JUDE_WEIGHTS)
    both = state = random_state([*JUDE_ORDER, "X"], (2, 3, 6, 7))
    for step in lower(lagrangian, JUDE_ORDER):
        both = step(both, penalties)
    for i, (one, numbers) in enumerate(one_by_one(state, penalties)):
        for step in lower(lagrangian, JUDE_ORDER):
            one = step(one, numbers)
        for name in JUDE_ORDER:
            torch.testing.assert_close(both[name][i : i + 1], one[name], rtol=0, atol=1e-12)


def test_the_weight_of_a_prior_may_be_a_map():
    lagrangian = jude(Regularizer("Z", SoftThreshold(), "z"))
    (step,) = lower(lagrangian, ("Z",))
    state = random_state([*JUDE_ORDER, "X"], (2, 3, 6, 7))
    z = torch.tensor([0.05, 0.4]).double()[torch.randint(2, (1, 1, 6, 7))]
    got = step(state, {**JUDE_WEIGHTS, "z": z})["Z"]
    for value in z.unique():
        alone = step(state, {**JUDE_WEIGHTS, "z": value})["Z"]
        at = (z == value).expand_as(got)
        torch.testing.assert_close(got[at], alone[at], rtol=0, atol=1e-12)
    lagrangian.priors["Z"].accepts_map = False
    with pytest.raises(ValueError, match="penalty 'z' has shape"):
        step(state, {**JUDE_WEIGHTS, "z": z})


def test_the_value_of_each_image_is_that_of_the_image_alone():
    lagrangian, penalties = era(), per_image(ERA_WEIGHTS)
    state = random_state([*ERA_ORDER, "Y"], (2, 3, 6, 7))
    alone = [lagrangian.values(*one) for one in one_by_one(state, penalties)]
    torch.testing.assert_close(lagrangian.values(state, penalties), torch.cat(alone))


@given(shape=sizes, seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_block_updates_never_raise_the_lagrangian(shape, seed):
    torch.manual_seed(seed)
    lagrangian = jude(
        Regularizer("P", Box()),
        Regularizer("Q", Box(low=0.01, high=2.0)),
        Regularizer("Z", SoftThreshold(), 0.1),
    )
    state = random_state([*JUDE_ORDER, "X"], shape)
    for _ in range(3):
        for step in lower(lagrangian, JUDE_ORDER):
            before = lagrangian.value(state, JUDE_WEIGHTS)
            state = step(state, JUDE_WEIGHTS)
            if hasattr(step, "block"):
                after = lagrangian.value(state, JUDE_WEIGHTS)
                assert after <= before + 1e-12 * before.abs().clamp_min(1)


def test_total_variation_update_never_raises_the_lagrangian():
    lagrangian = jude(Regularizer("P", TotalVariation(iterations=400), 0.02))
    state = random_state([*JUDE_ORDER, "X"], (1, 3, 9, 8))
    for _ in range(3):
        for step in lower(lagrangian, JUDE_ORDER):
            before = lagrangian.value(state, JUDE_WEIGHTS)
            state = step(state, JUDE_WEIGHTS)
            if hasattr(step, "block"):
                assert lagrangian.value(state, JUDE_WEIGHTS) <= before + 1e-9 * before.abs()


def test_a_one_channel_block_under_a_three_channel_residual():
    """min ‖l − r‖² over one channel l is the mean over r's three."""
    lagrangian = Lagrangian(Quadratic(Equal("l", "r")))
    r = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    (step,) = lower(lagrangian, ("l",))
    got = step({"l": torch.zeros(2, 1, 4, 5).double(), "r": r}, {})["l"]
    torch.testing.assert_close(got, r.mean(1, keepdim=True))


def test_gradients_reach_weights_kernel_and_observation():
    names = [n for n in JUDE_ORDER if n not in "GOD"]

    def run(x, h, w):
        state = dict.fromkeys(names, x) | {"X": x, "H": h}
        state = jude().start(state)
        for step in lower(jude(), JUDE_ORDER):
            state = step(state, dict.fromkeys(JUDE_WEIGHTS, w))
        return state["I"]

    x = torch.rand(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    h = random_kernel().requires_grad_()
    w = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(run, (x, h, w))


def test_the_prior_that_acts_is_the_one_in_the_lagrangian_now():
    lagrangian = jude(Regularizer("Z", Box()))
    (step,) = lower(lagrangian, ("Z",))
    lagrangian.priors["Z"] = Box(low=2.0, high=3.0)
    state = random_state([*JUDE_ORDER, "X"], (1, 3, 6, 6))
    assert step(state, JUDE_WEIGHTS)["Z"].min() >= 2


def test_steps_change_nothing_in_place():
    state = random_state([*JUDE_ORDER, "X"], (1, 3, 6, 6))
    copies = {k: v.clone() for k, v in state.items()}
    for step in lower(jude(), JUDE_ORDER):
        step(state, JUDE_WEIGHTS)
    assert list(state) == list(copies)
    assert all(torch.equal(state[k], copies[k]) for k in copies)


class TestRefusals:
    def test_prior_on_a_fourier_block(self):
        lagrangian = jude(Regularizer("I", Box()))
        with pytest.raises(ValueError, match=r"'I' has a prior.*Fourier-diagonal.*split it"):
            lower(lagrangian, JUDE_ORDER)

    def test_two_priors_on_a_block(self):
        with pytest.raises(ValueError, match=r"two priors.*a new block P_2"):
            jude(Regularizer("P", Box()), Regularizer("P", Box()))

    def test_prior_that_would_never_act(self):
        with pytest.raises(ValueError, match="'P' would never act"):
            lower(jude(Regularizer("P", Box())), ("Z", "I"))

    def test_unknown_names(self):
        with pytest.raises(ValueError, match=r"'Y', neither block nor dual.*blocks are I"):
            lower(jude(), ("P", "Y"))
        with pytest.raises(ValueError, match="'Y', which no residual has"):
            jude(Regularizer("Y", Box()))

    def test_duals(self):
        one, two = Equal("a", "b"), Equal("b", "c")
        with pytest.raises(ValueError, match="share the dual 'G'"):
            Lagrangian(Constraint(one, 1.0, "G"), Constraint(two, 1.0, "G"))
        with pytest.raises(ValueError, match="both a block and a dual"):
            Lagrangian(Constraint(one, 1.0, "c"), Constraint(two, 1.0, "G"))

    def test_a_block_that_a_term_reads(self):
        lagrangian = Lagrangian(
            Quadratic(FilterFlow("I", kernels="K", maps="W", observed="X")),
            Quadratic(Equal("W", "V")),
        )
        with pytest.raises(ValueError, match="'W' cannot be updated: FilterFlow reads it"):
            lower(lagrangian, ("W",))

    @pytest.mark.parametrize("shape", [(1, 3, 6, 1), (1, 3, 5, 6), (1, 2, 6, 6), (3, 6, 6)])
    def test_blocks_of_different_shapes(self, shape):
        state = State(random_state([*JUDE_ORDER, "X"], (1, 3, 6, 6)))
        state = state.replace("Z", torch.zeros(shape).double())
        with pytest.raises(ValueError, match=r"cannot combine I .*, Z |'Z' has shape \(3, 6, 6\)"):
            lower(jude(), ("I",))[0](state, JUDE_WEIGHTS)
        with pytest.raises(ValueError, match=r"cannot combine I .*, Z |'Z' has shape \(3, 6, 6\)"):
            jude().start({name: state[name] for name in state if name != "D"})

    def test_a_block_of_a_smaller_batch_than_its_kernels(self):
        state = random_state([*JUDE_ORDER, "X"], (1, 3, 6, 6))
        state |= {"H": random_kernel(2), "X": torch.rand(2, 3, 6, 6).double()}
        with pytest.raises(ValueError, match="update of 'I' has shape .*batch size of its kernels"):
            lower(jude(), ("I",))[0](state, JUDE_WEIGHTS)

    @pytest.mark.parametrize(
        ("residual", "block"),
        [
            (Equal("I", "Z"), "I"),
            (Convolution("I", kernel="H", observed="X"), "I"),
            (Retinex("Z", reflectance="P", illumination="Q"), "P"),
            (FilterFlow("I", kernels="H", maps="W", observed="X"), "I"),
        ],
    )
    def test_a_block_whose_weights_are_all_zero(self, residual, block):
        state = random_state([*JUDE_ORDER, "X"], (1, 3, 6, 6))
        state["W"] = torch.ones(1, 1, 6, 6).double()
        (step,) = lower(Lagrangian(Quadratic(residual, "w")), (block,))
        with pytest.raises(ValueError, match="weight 0: nothing determines it"):
            step(state, {"w": 0.0})

    @pytest.mark.parametrize(
        "bad",
        [-1.0, 0.0, float("nan"), *map(torch.ones, [(1, 1, 6, 6), (1, 3, 1, 1), (3,), (1,)])],
        ids=lambda bad: str(getattr(bad, "shape", bad)),
    )
    def test_weights(self, bad):
        state = random_state([*JUDE_ORDER, "X"], (1, 3, 6, 6))
        with pytest.raises(ValueError, match="'w3'"):
            lower(jude(), ("P",))[0](state, {**JUDE_WEIGHTS, "w3": bad})

    def test_missing_weight_and_entry(self):
        state = random_state([*JUDE_ORDER, "X"], (1, 3, 6, 6))
        with pytest.raises(MissingEntryError, match="penalties lack 'w2'"):
            lower(jude(), ("P",))[0](state, {})
        del state["Q"]
        with pytest.raises(MissingEntryError, match="no entry 'Q'"):
            lower(jude(), ("P",))[0](state, JUDE_WEIGHTS)

    def test_not_a_term(self):
        with pytest.raises(TypeError, match="got Convolution"):
            Lagrangian(Convolution("I", kernel="H", observed="X"))  # type: ignore[arg-type]

    def test_kernel_larger_than_image(self):
        state = random_state([*JUDE_ORDER, "X"], (1, 3, 6, 6), kernel=(7, 3))
        with pytest.raises(ValueError, match=r"kernel 'H'.*6×6"):
            lower(jude(), ("I",))[0](state, JUDE_WEIGHTS)


def test_start_adds_missing_duals_of_the_right_shape():
    state = random_state(["P", "R", "Q", "L", "Z", "I", "X"], (2, 3, 5, 6), one_channel="QL")
    state["D"] = torch.ones(2, 3, 5, 6, dtype=torch.float64)
    started = jude().start(state)
    assert started["O"].shape == (2, 1, 5, 6)
    assert not started["G"].any()
    assert started["D"].all()


def test_explain_names_blocks_matrices_and_solvers():
    text = jude(Regularizer("P", Box())).explain(order=JUDE_ORDER)
    assert "w1/2 ‖H⊗I − X‖²" in text
    line = {row.split()[0]: row for row in text.splitlines() if row.split()}
    assert "w2·Q² + w3" in line["P"]
    assert "pixel-diagonal" in line["P"]
    assert "prox of Box" in line["P"]
    assert "w1·|F(H)|² + w5" in line["I"]
    assert "Fourier-diagonal" in line["I"]
    assert "FFT" in line["I"]
    assert "held fixed: X" in text
    order = [row.split()[0] for row in text.splitlines() if row.split()]
    assert [name for name in order if name in JUDE_ORDER] == list(JUDE_ORDER)


class TestState:
    def test_derived_entries_are_computed_once_and_forgotten_with_their_source(self):
        calls = []
        state = State({"H": torch.ones(1), "X": torch.ones(1)})

        def compute():
            calls.append(1)
            return state["H"] * 2

        state.derive("2H", ("H",), compute)
        state.replace("X", torch.zeros(1)).derive("2H", ("H",), compute)
        assert len(calls) == 1
        state.replace("H", torch.zeros(1)).derive("2H", ("H",), compute)
        State({**state, "H": torch.zeros(1)}).derive("2H", ("H",), compute)
        assert len(calls) == 3

    def test_a_step_never_uses_a_stale_kernel(self):
        state = random_state([*JUDE_ORDER, "X"], (1, 3, 6, 6))
        (step,) = lower(jude(), ("I",))
        other = random_kernel(size=(4, 2))
        want = step({**state, "H": other}, JUDE_WEIGHTS)["I"]
        used = step(state, JUDE_WEIGHTS)
        assert torch.equal(step({**used, "H": other}, JUDE_WEIGHTS)["I"], want)
        assert torch.equal(step(used.replace("H", other), JUDE_WEIGHTS)["I"], want)

    @pytest.mark.parametrize("name", "HX")
    def test_a_step_notices_what_was_changed_in_place(self, name):
        state = State(random_state([*JUDE_ORDER, "X"], (1, 3, 6, 6)))
        (step,) = lower(jude(), ("I",))
        state = step(state, JUDE_WEIGHTS)
        state[name].copy_(torch.rand_like(state[name]))
        want = step(dict(state), JUDE_WEIGHTS)["I"]
        assert torch.equal(step(state, JUDE_WEIGHTS)["I"], want)

    def test_a_copy_knows_what_was_derived_before_it_and_keeps_its_own(self):
        def double(state):
            return state.derive("2H", ("H",), lambda: 2 * state["H"])

        state = State({"H": torch.ones(1)})
        early = State(state)
        assert double(early) is not double(state)
        late = State(state)
        assert double(late) is double(state)
        state["H"].add_(1)
        assert double(late).item() == double(state).item() == 4

    def test_what_is_derived_without_gradients_does_not_cut_a_later_graph(self):
        state = State(random_state([*JUDE_ORDER, "X"], (1, 1, 6, 6)))
        state = state.replace("H", state["H"].requires_grad_())
        (step,) = lower(jude(), ("I",))
        with torch.no_grad():
            state = step(state, JUDE_WEIGHTS)
        assert step(state, JUDE_WEIGHTS)["I"].requires_grad
