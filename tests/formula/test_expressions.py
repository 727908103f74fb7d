"""Expressions of every kind keep a term's contract, and solve as dense algebra does."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from systems import dense_minimizer, random_kernel

import unfold as uf
from unfold.core import CG, Affine, Constraint, Lagrangian, Quadratic, State, Structure, lower
from unfold.core.expression import Entry
from unfold.core.operators import MatrixFree
from unfold.formula.text import expression
from unfold.terms import Convolution, FilterFlow, Gradient, MaskedConvolution, Retinex

CONVERGED = CG(maximum=800, tolerance=1e-14)
SIZE = (6, 8)
CLOSE = {"rtol": 0, "atol": 1e-10}

# Text, and the structure of the normal matrix of x.
CASES = {
    "x - y": Structure.SCALAR,
    "2 * x - y": Structure.SCALAR,
    "y - x / 4": Structure.SCALAR,
    "x + 0.5 * x - y": Structure.SCALAR,
    "m * x - y": Structure.PIXEL,
    "m * x - 0.3 * x - y": Structure.PIXEL,
    "m * (n * x) - y": Structure.PIXEL,
    "conv(k, x) - y": Structure.FOURIER,
    "y - conv(k, x)": Structure.FOURIER,
    "-2 * conv(k, x) + e - y": Structure.FOURIER,
    "conv(k, x) + 0.5 * x - y": Structure.FOURIER,
    "conv(k, x) - conv(h, x) - y": Structure.FOURIER,
    "conv(k, conv(h, x)) - y": Structure.FOURIER,
    "conv(k, x + e) - y": Structure.FOURIER,
    "m * conv(k, x) - y": Structure.MATRIX_FREE,
    "m * (conv(k, x) - y)": Structure.MATRIX_FREE,
    "conv(k, m * x) - y": Structure.MATRIX_FREE,
    "conv(k, x) + m * x - y": Structure.MATRIX_FREE,
    "filter_flow(h2, w, x) - y": Structure.MATRIX_FREE,
    "m * filter_flow(h2, w, x) - y": Structure.MATRIX_FREE,
    "filter_flow(h2, w, x, local=True) - y": Structure.MATRIX_FREE,
    "grad(x) - g": Structure.FOURIER,
    "-grad(conv(k, x)) + g": Structure.FOURIER,
    "downsample(x, 2) - s": Structure.MATRIX_FREE,
    "downsample(conv(k, x), 2) - s": Structure.MATRIX_FREE,
    "s - 3 * downsample(m * conv(k, x), 2)": Structure.MATRIX_FREE,
}


def entry(name):
    return Entry(name, "block" if name in "xe" else "data")


def entries(batch=1, channels=3):
    def made(c, *size):
        return torch.randn(batch, c, *size, dtype=torch.float64)

    return State(
        {
            **{name: made(channels, *SIZE) for name in "xyenz"},
            "m": made(1, *SIZE), "g": made(2 * channels, *SIZE), "s": made(channels, 3, 4),
            "k": random_kernel(batch, 1, (3, 2)), "h": random_kernel(1, 1, (2, 3)),
            "h2": random_kernel(batch, 2, (3, 3)),
            "w": torch.rand(batch, 2, *SIZE, dtype=torch.float64),
        }
    )  # fmt: skip


@pytest.mark.parametrize("text", CASES)
def test_it_is_a_term(text):
    residual, state = Affine(expression(text, entry)), entries(batch=2)
    assert residual.blocks["x"] is CASES[text]
    for block in residual.blocks:
        operator = residual.operator(block, state)
        x, other = torch.randn_like(state[block]), torch.randn_like(state[block])

        def forward(value, block=block):
            return residual({**state, block: value})

        value, derivative = torch.func.jvp(forward, (x,), (other,))
        y, dual = torch.randn_like(value), torch.randn_like(value)
        torch.testing.assert_close(operator.mv(other), derivative, **CLOSE)
        offset = residual.offset(block, state)
        torch.testing.assert_close(value, operator.mv(x) + offset, **CLOSE)
        adjoint = operator.adjoint(y)
        assert adjoint.shape == x.shape
        torch.testing.assert_close((operator.mv(x) * y).sum(), (x * adjoint).sum(), **CLOSE)
        torch.testing.assert_close(operator.gram(x), operator.adjoint(operator.mv(x)), **CLOSE)
        for got, want in (
            (residual.rhs_quadratic(block, state, operator), offset),
            (residual.rhs_constraint(block, state, operator, dual, 0.7), dual + 0.7 * offset),
        ):
            pixels = torch.fft.irfft2(got, s=x.shape[-2:]) if got.is_complex() else got
            torch.testing.assert_close(pixels, -operator.adjoint(want), **CLOSE)


@pytest.mark.parametrize("text", CASES)
def test_its_update_is_a_dense_solve(text):
    state = entries().replace("D", torch.randn(1, 3, *SIZE, dtype=torch.float64))
    split = Constraint(Affine(Entry("x") - Entry("z")), 0.3, "D")
    lagrangian = Lagrangian(Quadratic(Affine(expression(text, entry)), 1.7), split)
    (step,) = lower(lagrangian, ("x",), CONVERGED)
    want = dense_minimizer(lagrangian, "x", state, {})
    torch.testing.assert_close(step(state, {})["x"], want, rtol=0, atol=1e-8)


@pytest.mark.parametrize("text", CASES)
def test_it_is_written_and_read_back(text):
    first = expression(text, entry)
    again = expression(first.code(), entry)
    state = entries()
    torch.testing.assert_close(again.value(state), first.value(state), rtol=0, atol=0)
    assert again.formula() == first.formula()
    assert again.code() == first.code()


def test_the_named_residuals_are_common_expressions():
    for named, text in (
        (Convolution("x", kernel="k", observed="y"), "conv(k, x) - y"),
        (FilterFlow("x", kernels="h2", maps="w", observed="y"), "filter_flow(h2, w, x) - y"),
        (Gradient("x", gradient="g"), "grad(x) - g"),
        (Retinex("y", reflectance="x", illumination="n"), "y - x * n"),
        (MaskedConvolution("x", kernel="k", mask="m", observed="y"), "m * (conv(k, x) - y)"),
    ):
        assert named.expression.code() == text


@given(a=st.floats(0.1, 3), b=st.floats(-3, -0.1), gray=st.booleans())
@settings(max_examples=20, deadline=None)
def test_numbers_scale_and_signs_carry(a, b, gray):
    x, y = uf.blocks("x y")
    state = {
        "x": torch.randn(2, 1 if gray else 3, 4, 5, dtype=torch.float64),
        "y": torch.randn(2, 3, 4, 5, dtype=torch.float64),
    }
    got = (a * x + y * b - (x - y) / 2 - -x).value(State(state))
    want = a * state["x"] + b * state["y"] - (state["x"] - state["y"]) / 2 + state["x"]
    torch.testing.assert_close(got, want, **CLOSE)


def test_a_sum_in_two_diagonal_bases_is_solved_by_conjugate_gradients():
    residual = Affine(expression("conv(k, x) + m * x - y", entry))
    assert isinstance(residual.operator("x", entries()), MatrixFree)


def test_a_map_of_ones_own_by_automatic_differentiation():
    x, y = uf.blocks("x"), uf.data("y")

    def turned(v):
        return v.rot90(1, (-2, -1)).cumsum(-1)

    state = {"x": torch.randn(1, 2, 3, 4).double(), "y": torch.randn(1, 2, 4, 3).double()}
    residual = Affine(uf.linear(turned, x) - y)
    operator, value = residual.operator("x", State(state)), torch.randn(1, 2, 4, 3).double()
    want = torch.autograd.functional.vjp(turned, state["x"], value)[1]
    torch.testing.assert_close(operator.adjoint(value), want, **CLOSE)
    with pytest.raises(ValueError, match="cannot be written down"):
        residual.expression.code()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x * x", "uses 'x' twice, so that it is not affine"),
        ("conv(x, x) - y", "uses 'x' twice"),
        ("conv(k, x * e) * e", "uses 'e' twice"),
        ("x + 3", "declare a constant as data"),
        ("x / 0", "divided by 0"),
        ("x / y", "divide by a number"),
        ("conv(k, x", "not an expression"),
        ("conv(k)", "missing"),
        ("conv(x + e, y)", "takes declared blocks or data"),
        ("downsample(x, 1)", "an integer of at least 2"),
        ("downsample(x, 2.5)", "an integer of at least 2"),
        ("__import__('os')", "is none of names"),
        ("x.real", "is none of names"),
        ("x ** 2", "is none of names"),
        ("filter_flow(h2, w, x, **x)", "is none of names"),
        ("grad(x, local=True)", "unexpected keyword"),
        ("[x for x in y]", "is none of names"),
        ("3", "is a number"),
        ("", "not an expression"),
        ("(" * 300 + "x" + ")" * 300, "not an expression"),
    ],
)
def test_what_is_no_expression_is_refused(text, error):
    with pytest.raises(ValueError, match=error):
        expression(text, entry)


def test_shapes_that_do_not_fit_are_refused():
    state = entries()
    for text, error in (
        ("conv(k, x) - m", r"cannot combine k⊗x \(1, 3, 6, 8\), m \(1, 1, 6, 8\)"),
        ("m * s - y + x", r"m⊙s cannot combine"),
        ("downsample(x, 4) - s", "6×8 is no multiple of 4"),
        ("grad(x) - y", r"cannot combine ∇x \(1, 6, 6, 8\), y"),
    ):
        with pytest.raises(ValueError, match=error):
            Affine(expression(text, entry))(state)
