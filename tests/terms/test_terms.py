"""One contract for every term: operators are linear, adjoint, and the derivative of forward."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import random_kernel

from unfold.core import (
    Equal,
    FourierDiagonal,
    MatrixFree,
    PixelDiagonal,
    Residual,
    State,
    Structure,
)
from unfold.core.normal import Normal
from unfold.core.operators import spectrum
from unfold.terms import (
    Convolution,
    FilterFlow,
    Gradient,
    MaskedConvolution,
    Retinex,
    SparseError,
    differences,
    embed_kernel,
)

KIND = {Structure.FOURIER: FourierDiagonal, Structure.MATRIX_FREE: MatrixFree}


class ByAutograd(Residual):
    """A term whose author gives no operator at all."""

    def __init__(self):
        super().__init__({"P": Structure.MATRIX_FREE, "Z": Structure.MATRIX_FREE}, ["X"])

    def forward(self, state):
        p = state["P"]
        return state["Z"] * p.roll(1, -1) - 0.3 * p.mean((-2, -1), keepdim=True) + state["X"]


TERMS = {
    "convolution": lambda: Convolution("I", kernel="H", observed="X"),
    "filter-flow": lambda: FilterFlow("I", kernels="K", maps="W", observed="X"),
    "masked-convolution": lambda: MaskedConvolution("I", kernel="H", mask="T", observed="X"),
    "gradient": lambda: Gradient("I", gradient="G"),
    "retinex": lambda: Retinex("Z", reflectance="P", illumination="Q"),
    "sparse-error": lambda: SparseError("U", error="E", observed="X"),
    "equal": lambda: Equal("P", "Z"),
    "equal, broadcast": lambda: Equal("Q", "Z"),
    "by autograd": ByAutograd,
}


def make_state(batch, channels, height, width, kernel, light):
    state = {n: torch.randn(batch, channels, height, width, dtype=torch.float64) for n in "IXZPUE"}
    state["Q"] = torch.randn(batch, light, height, width, dtype=torch.float64)
    state["H"] = random_kernel(batch, 1, kernel)
    state["K"] = random_kernel(batch, 2, kernel)
    state["W"] = torch.rand(batch, 2, height, width, dtype=torch.float64)
    state["G"] = torch.randn(batch, 2 * channels, height, width, dtype=torch.float64)
    state["T"] = torch.rand(batch, 1, height, width, dtype=torch.float64)
    return State(state)


@pytest.mark.parametrize("name", TERMS)
@given(
    batch=st.integers(1, 2),
    channels=st.sampled_from([1, 3]),
    gray_light=st.booleans(),
    size=st.tuples(st.integers(4, 9), st.integers(4, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    full=st.booleans(),
)
@settings(max_examples=20, deadline=None)
def test_contract(name, batch, channels, gray_light, size, kernel, full):
    kernel = size if full else kernel
    state = make_state(batch, channels, *size, kernel, 1 if gray_light else channels)
    keeps_the_contract(TERMS[name](), state)


GRAY, COLOR, TWO = (1, 1, 4, 5), (1, 3, 4, 5), (2, 3, 4, 5)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("convolution", {"I": GRAY, "H": (1, 3, 3, 2), "X": COLOR}),
        ("convolution", {"I": (2, 1, 4, 5), "H": (2, 3, 3, 2), "X": TWO}),
        ("convolution", {"I": GRAY, "H": COLOR, "X": COLOR}),
        ("convolution", {"I": COLOR, "H": GRAY, "X": COLOR}),
        ("filter-flow", {"I": COLOR, "K": (1, 2, 4, 5), "W": (2, 2, 4, 5), "X": TWO}),
        ("filter-flow", {"I": TWO, "K": (1, 2, 4, 5), "W": (2, 2, 4, 5), "X": TWO}),
        ("filter-flow", {"I": GRAY, "K": (2, 2, 4, 5), "W": (1, 2, 4, 5), "X": (2, 1, 4, 5)}),
        ("masked-convolution", {"I": TWO, "H": (2, 1, 4, 5), "T": GRAY, "X": TWO}),
        ("filter-flow", {"I": COLOR, "K": (2, 2, 3, 2), "W": (1, 2, 4, 5), "X": TWO}),
        ("filter-flow", {"I": COLOR, "K": (1, 2, 3, 2), "W": (2, 2, 4, 5), "X": TWO}),
        ("sparse-error", {"U": GRAY, "E": COLOR, "X": COLOR}),
        ("sparse-error", {"U": COLOR, "E": GRAY, "X": GRAY}),
    ],
)
def test_contract_of_blocks_that_are_broadcast(name, shapes):
    state = {n: torch.randn(shape, dtype=torch.float64) for n, shape in shapes.items()}
    keeps_the_contract(TERMS[name](), State(state))


def keeps_the_contract(term, state):
    close = {"rtol": 0, "atol": 1e-10}
    kernels = {
        block: structure if _as_large(state[block], term(state)) else Structure.MATRIX_FREE
        for block, structure in term.optional_blocks.items()
        if _as_large(state[block], term(state)) or not isinstance(term, FilterFlow)
    }
    for block, structure in (term.blocks | kernels).items():
        operator = term.operator(block, state)
        assert isinstance(operator, KIND.get(structure, PixelDiagonal))
        if structure is Structure.SCALAR:
            assert not isinstance(operator.diagonal, torch.Tensor)
        x, other = torch.randn_like(state[block]), torch.randn_like(state[block])

        def forward(value, block=block, term=term):
            return term({**state, block: value})

        residual, derivative = torch.func.jvp(forward, (x,), (other,))
        y = torch.randn_like(residual)
        # affine in the block, the operator is the derivative, and the offset what is left
        torch.testing.assert_close(operator.mv(other), derivative, **close)
        torch.testing.assert_close(residual, operator.mv(x) + term.offset(block, state), **close)
        # adjoint: ⟨J x, y⟩ = ⟨x, Jᵀ y⟩, on the block's own shape
        adjoint = operator.adjoint(y)
        assert adjoint.shape == x.shape
        torch.testing.assert_close((operator.mv(x) * y).sum(), (x * adjoint).sum(), **close)
        torch.testing.assert_close(operator.gram(x), operator.adjoint(operator.mv(x)), **close)
        # what the term says of the block is −Jᵀ c, and with a dual −Jᵀ (Γ + w c)
        offset, dual = term.offset(block, state), torch.randn_like(residual)
        for got, want in (
            (term.rhs_quadratic(block, state, operator), offset),
            (term.rhs_constraint(block, state, operator, dual, 0.7), dual + 0.7 * offset),
        ):
            pixels = torch.fft.irfft2(got, s=x.shape[-2:]) if got.is_complex() else got
            torch.testing.assert_close(pixels, -operator.adjoint(want), **close)


def _as_large(kernel, image):
    return kernel.shape[-2:] == image.shape[-2:]


def test_explain_has_words_for_every_block():
    for make in TERMS.values():
        term = make()
        assert term.formula()
        assert all(term.gram_formula(block) for block in term.blocks | term.optional_blocks)


@given(
    size=st.tuples(st.integers(5, 12), st.integers(5, 12)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    double=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_convolution_is_scipys_with_wrapped_borders(size, kernel, double):
    dtype = torch.float64 if double else torch.float32
    x = torch.rand(1, 1, *size, dtype=dtype)
    h = random_kernel(size=kernel, dtype=dtype)
    state = {"I": x, "H": h, "X": torch.zeros_like(x)}
    got = Convolution("I", kernel="H", observed="X")(state)
    want = scipy.ndimage.convolve(x[0, 0].double().numpy(), h[0, 0].double().numpy(), mode="wrap")
    assert got.dtype == dtype
    np.testing.assert_allclose(got[0, 0].numpy(), want, atol=1e-12 if double else 1e-5)


def test_convolution_with_a_kernel_per_channel():
    x, h = torch.rand(2, 3, 6, 7, dtype=torch.float64), random_kernel(2, 3)
    got = Convolution("I", kernel="H", observed="X")({"I": x, "H": h, "X": torch.zeros_like(x)})
    for b in range(2):
        for c in range(3):
            want = scipy.ndimage.convolve(x[b, c].numpy(), h[b, c].numpy(), mode="wrap")
            np.testing.assert_allclose(got[b, c].numpy(), want, atol=1e-12)


@given(
    size=st.tuples(st.integers(5, 9), st.integers(5, 9)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
@settings(max_examples=25, deadline=None)
def test_an_embedded_kernel_blurs_as_it_did(size, kernel):
    state = make_state(2, 3, *size, kernel, 1)
    for name, block in (("convolution", "H"), ("filter-flow", "K")):
        embedded = embed_kernel(state[block], size)
        assert embedded.shape[-2:] == size
        got = TERMS[name]()(state.replace(block, embedded))
        torch.testing.assert_close(got, TERMS[name]()(state), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match=r"cannot be embedded in 5×9: crop it"):
        embed_kernel(torch.ones(1, 1, 6, 9), (5, 9))


@pytest.mark.parametrize("size", [(4, 7), (5, 6), (1, 5)])
def test_the_gradient_is_forward_differences_that_wrap(size):
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    right, down = differences(x).chunk(2, 1)
    for got, axis in ((right, -1), (down, -2)):
        array = x.numpy()
        want = np.diff(array, axis=axis, append=np.take(array, [0], axis=axis))
        np.testing.assert_allclose(got.numpy(), want, atol=1e-15)


@pytest.mark.parametrize("size", [(4, 7), (5, 6), (1, 5)])
def test_the_adjoint_of_the_gradient_is_the_same_in_both_bases(size):
    operator = Gradient("I", gradient="G").operator("I", State({"I": torch.zeros(2, 3, *size)}))
    y = torch.randn(2, 6, *size)
    spectral = torch.fft.irfft2(operator.adjoint_spectrum(torch.fft.rfft2(y)), s=size)
    torch.testing.assert_close(spectral, operator.adjoint(y), rtol=0, atol=1e-5)


def test_what_is_remembered_of_the_gradient_goes_by_size_and_type():
    term, state = Gradient("I", gradient="G"), State({"I": torch.zeros(1, 3, 8, 9)})
    term.operator("I", state).gram(state["I"])
    for x in (torch.rand(1, 3, 4, 7), torch.rand(1, 3, 8, 9, dtype=torch.float64)):
        operator = term.operator("I", state.replace("I", x))
        torch.testing.assert_close(operator.gram(x), operator.adjoint(operator.mv(x)))


def test_filter_flow_is_the_weighted_sum_of_convolutions():
    x, k = torch.rand(1, 3, 8, 7, dtype=torch.float64), random_kernel(1, 2)
    w = torch.rand(1, 2, 8, 7, dtype=torch.float64)
    state = {"I": x, "K": k, "W": w, "X": torch.zeros_like(x)}
    got = FilterFlow("I", kernels="K", maps="W", observed="X")(state)
    for c in range(3):
        parts = [
            scipy.ndimage.convolve(x[0, c].numpy(), k[0, m].numpy(), mode="wrap") for m in (0, 1)
        ]
        want = sum(w[0, m].numpy() * parts[m] for m in (0, 1))
        np.testing.assert_allclose(got[0, c].numpy(), want, atol=1e-12)


@pytest.mark.parametrize("local", [False, True])
def test_filter_flow_preconditioner_is_exact_for_constant_weights(local):
    term = FilterFlow("I", kernels="K", maps="W", observed="X", local=local)
    state = make_state(1, 3, 8, 9, (3, 4), 1)
    state = state.replace(
        "W", torch.tensor([0.3, 0.7]).double().view(1, 2, 1, 1).expand(1, 2, 8, 9)
    )
    operator, x = term.operator("I", state), state["I"]
    stationary = torch.fft.irfft2(operator.mean_gram() * torch.fft.rfft2(x), s=(8, 9))
    torch.testing.assert_close(stationary, operator.gram(x), rtol=0, atol=1e-12)
    normal = normal_of(operator, x)
    torch.testing.assert_close(normal._preconditioner()(normal.apply(x)), x, rtol=0, atol=1e-11)


def normal_of(operator, x):
    """The normal equations of ``2/2 ‖B x‖² + 0.03/2 ‖x‖²``."""
    normal = Normal(x)
    normal.add(2.0, operator)
    normal.add(0.03, PixelDiagonal(1.0, x.shape))
    return normal


def dense(function, shape):
    basis = torch.eye(math.prod(shape), dtype=torch.float64).view(-1, *shape)
    return torch.cat([function(x[None]).flatten(1) for x in basis])


def flow_of_discs(maps):
    """A filter flow of a point and a wide box."""
    kernels = torch.zeros(1, 2, 5, 5, dtype=torch.float64)
    kernels[:, 0, 2, 2], kernels[:, 1] = 1, 1 / 25
    state = {"I": torch.rand(1, 1, *maps.shape[-2:], dtype=torch.float64), "K": kernels, "W": maps}
    term = FilterFlow("I", kernels="K", maps="W", observed="X", local=True)
    return term.operator("I", State({**state, "X": state["I"]})), state["I"]


@pytest.mark.parametrize("kind", ["smooth", "partition", "empty"])
def test_the_local_preconditioner_is_symmetric_and_positive_definite(kind):
    """Also where all maps are zero."""
    maps = torch.rand(1, 2, 10, 12, dtype=torch.float64).softmax(1)
    if kind != "smooth":
        maps = maps.round()
    if kind == "empty":
        maps[..., 3:6] = 0
    operator, x = flow_of_discs(maps)
    inverse = dense(normal_of(operator, x)._preconditioner(), x.shape[1:])
    torch.testing.assert_close(inverse, inverse.mT, rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(inverse).min() > 0


def test_the_local_preconditioner_is_better_than_the_stationary_one():
    """A photo that is half in focus: the condition number of the preconditioned matrix."""
    maps = torch.zeros(1, 2, 16, 24, dtype=torch.float64)
    maps[:, 0, :, :12] = 1
    maps[:, 1, :, 12:] = 1
    operator, x = flow_of_discs(maps)
    local, matrix = normal_of(operator, x), dense(normal_of(operator, x).apply, x.shape[1:])
    averaged = MatrixFree(operator.mv, operator.adjoint, x.shape, operator.mean_gram())
    conditions = []
    for normal in (local, normal_of(averaged, x)):
        root = torch.linalg.cholesky(dense(normal._preconditioner(), x.shape[1:]))
        values = torch.linalg.eigvalsh(root.mT @ matrix @ root)
        conditions.append(float(values.max() / values.min()))
    assert conditions[0] < 0.4 * conditions[1]


def test_a_factor_scales_the_local_part():
    maps = torch.rand(1, 2, 8, 9, dtype=torch.float64).softmax(1)
    operator, x = flow_of_discs(maps)
    twice = normal_of(operator.scaled(-2.0), x)._preconditioner()(x)
    windows, powers = operator.local
    want = MatrixFree(operator.mv, operator.adjoint, x.shape, local=(windows, 4 * powers))
    torch.testing.assert_close(twice, normal_of(want, x)._preconditioner()(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(operator.scaled(-2.0).gram(x), 4 * operator.gram(x))


def test_filter_flow_preconditioner_of_one_kernel_is_exact_for_a_constant_map():
    term = FilterFlow("I", kernels="K", maps="W", observed="X")
    state = State({n: torch.randn(2, 3, 8, 9, dtype=torch.float64) for n in "IX"})
    state = state.replace("W", torch.full((1, 1, 8, 9), 0.7).double())
    state = state.replace("K", torch.randn(2, 1, 8, 9, dtype=torch.float64))
    operator, k = term.operator("K", state), state["K"]
    stationary = torch.fft.irfft2(operator.stationary * torch.fft.rfft2(k), s=(8, 9))
    torch.testing.assert_close(stationary, operator.gram(k), rtol=0, atol=1e-11)


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("name", "KW")
def test_filter_flow_preconditioner_follows_kernels_and_weights(name, local):
    term = FilterFlow("I", kernels="K", maps="W", observed="X", local=local)
    state = make_state(1, 3, 8, 9, (3, 4), 1)
    term.operator("I", state)  # remembers
    state = state.replace(name, torch.rand_like(state[name]))
    want, got = term.operator("I", State(dict(state))), term.operator("I", state)
    assert torch.equal(got.mean_gram(), want.mean_gram())
    assert (got.local is None) is not local


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_transformed_in_single(dtype):
    x = torch.rand(1, 3, 5, 6).to(dtype)
    torch.testing.assert_close(spectrum(x), torch.fft.rfft2(x.float()), rtol=0, atol=0)


def test_transfer_function_is_computed_once_in_a_run(monkeypatch):
    from unfold.core import Constraint, Lagrangian, Quadratic, lower
    from unfold.terms import blur

    calls = []
    real = blur._transfer_function
    monkeypatch.setattr(blur, "_transfer_function", lambda *a: calls.append(1) or real(*a))
    lagrangian = Lagrangian(
        Quadratic(Convolution("I", kernel="H", observed="X")),
        Constraint(Equal("I", "Z"), penalty=1.0, dual="D"),
    )
    state = lagrangian.start(make_state(1, 3, 8, 9, (3, 4), 1))
    for _ in range(5):
        for step in lower(lagrangian, ("Z", "I", "D")):
            state = step(state, {})
    assert len(calls) == 1


def test_a_step_of_deconvolution_pays_for_two_transforms(monkeypatch):
    from unfold.core import Constraint, Lagrangian, Quadratic, lower

    lagrangian = Lagrangian(
        Quadratic(Convolution("I", kernel="H", observed="X")),
        Constraint(Equal("I", "Z"), penalty=1.0, dual="D"),
    )
    (step,) = lower(lagrangian, ("I",))
    state = step(lagrangian.start(make_state(1, 3, 8, 9, (3, 4), 1)), {})
    calls = []
    for name in ("rfft2", "irfft2"):
        real = getattr(torch.fft, name)
        monkeypatch.setattr(
            torch.fft,
            name,
            lambda *a, real=real, name=name, **k: calls.append(name) or real(*a, **k),
        )
    step(state, {})
    assert sorted(calls) == ["irfft2", "rfft2"]


class TestRefusals:
    def test_filter_flow_needs_a_map_for_each_kernel(self):
        state = make_state(1, 3, 8, 9, (3, 3), 1)
        state = state.replace("W", state["W"][:, :1])
        term = FilterFlow("I", kernels="K", maps="W", observed="X")
        with pytest.raises(
            ValueError, match=r"'W' has shape \(1, 1, 8, 9\).*\(batch or 1, 2, 8, 9\)"
        ):
            term(state)

    @pytest.mark.parametrize("term", [TERMS["convolution"](), TERMS["filter-flow"]()])
    def test_the_observation_has_the_shape_of_the_blurred_image(self, term):
        state = make_state(1, 3, 8, 9, (3, 3), 1)
        for shape in ((1, 1, 8, 9), (1, 3, 9, 8), (2, 3, 8, 9)):
            with pytest.raises(ValueError, match=r"cannot combine .* \(1, 3, 8, 9\), X "):
                term(state.replace("X", torch.zeros(shape).double()))

    def test_a_small_kernel_is_no_block_of_a_filter_flow(self):
        state = make_state(1, 3, 8, 9, (3, 3), 1)
        remedy = r"'K' has shape .*8×9; start it with .*embed_kernel\(kernel, \(8, 9\)\)"
        with pytest.raises(ValueError, match=remedy):
            TERMS["filter-flow"]().operator("K", state)

    def test_a_gradient_has_twice_the_channels(self):
        state = make_state(1, 3, 8, 9, (3, 3), 1)
        for shape in ((1, 3, 8, 9), (1, 6, 9, 8), (2, 6, 8, 9)):
            with pytest.raises(ValueError, match=r"combine ∇I \(1, 6, 8, 9\), G "):
                TERMS["gradient"]()(state.replace("G", torch.zeros(shape).double()))

    def test_an_optional_block_is_read(self):
        with pytest.raises(ValueError, match="optional block 'b', which is not in its reads"):
            Residual({"a": Structure.SCALAR}, ["c"], {"b": Structure.SCALAR})

    @pytest.mark.parametrize("bad", ["", "a.b"])
    def test_block_names(self, bad):
        with pytest.raises(ValueError, match="block name"):
            Equal(bad, "y")

    @pytest.mark.parametrize(
        "make",
        [
            lambda: Equal("x", "x"),
            lambda: Retinex("Z", reflectance="x", illumination="x"),
            lambda: Convolution("x", kernel="x", observed="X"),
            lambda: FilterFlow("I", kernels="x", maps="x", observed="X"),
        ],
    )
    def test_one_name_for_two_entries(self, make):
        with pytest.raises(ValueError, match="uses 'x' twice"):
            make()
