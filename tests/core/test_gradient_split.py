"""g(∇x), declared by a split."""

import pytest
import torch
from systems import dense_minimizer, gradient

from unfold.core import Constraint, Lagrangian, Quadratic, Regularizer, Stage, converge, lower
from unfold.priors import L0, SoftThreshold
from unfold.terms import Convolution, Gradient, differences
from unfold.terms.gradient import differences_adjoint

WEIGHTS = {"w1": 1.3, "w2": 0.7}


def deblur(prior=None, weight=0.05):
    return Lagrangian(
        Quadratic(Convolution("I", kernel="H", observed="X"), "w1"),
        Constraint(Gradient("I", gradient="G"), penalty="w2", dual="D"),
        *([] if prior is None else [Regularizer("G", prior, weight)]),
    )


def state(channels=3, size=(6, 7)):
    made = {name: torch.rand(2, channels, *size, dtype=torch.float64) for name in "IX"}
    made["H"] = torch.rand(2, 1, 3, 2, dtype=torch.float64)
    made |= {name: torch.randn(2, 2 * channels, *size, dtype=torch.float64) for name in "GD"}
    return made


def test_both_blocks_are_stationary_and_equal_the_dense_solution():
    lagrangian, now = deblur(), state()
    for step in lower(lagrangian, ("I", "G", "D")):
        if hasattr(step, "block"):
            one = {name: value[:1, : 2 if name in "GD" else 1] for name, value in now.items()}
            dense = dense_minimizer(lagrangian, step.block, one, WEIGHTS)
            got = step(one, WEIGHTS)[step.block]
            torch.testing.assert_close(got, dense, rtol=0, atol=1e-10)
        now = step(now, WEIGHTS)
        if hasattr(step, "block"):
            assert gradient(lagrangian, step.block, now, WEIGHTS).abs().max() < 1e-10


def test_the_dual_is_started_with_the_gradients_channels():
    lagrangian = deblur()
    started = lagrangian.start({name: value for name, value in state().items() if name != "D"})
    assert started["D"].shape == (2, 6, 6, 7)


def test_explain_names_the_gradient():
    text = deblur(L0()).explain(("I", "G", "D"))
    assert "⟨D, ∇I − G⟩ + w2/2 ‖∇I − G‖²" in text
    assert "w1·|F(H)|² + w2·(|F(∂x)|² + |F(∂y)|²)" in text
    assert "prox of L0" in text


def test_anisotropic_total_variation_by_the_split_reaches_the_optimum():
    """min ½‖x − y‖² + μ ‖∇x‖₁, against subgradient optimality: y − x = μ ∇ᵀs, s in ∂‖∇x‖₁."""
    from unfold.core import Equal

    lagrangian = Lagrangian(
        Quadratic(Equal("x", "y")),
        Constraint(Gradient("x", gradient="G"), penalty=0.5, dual="D"),
        Regularizer("G", SoftThreshold(), 0.1),
    )
    y = torch.rand(1, 1, 8, 9, dtype=torch.float64)
    stage = Stage(lower(lagrangian, ("x", "G", "D")), {})
    start = {"x": y, "y": y, "G": differences(y)}
    now, history = converge(stage, start, tolerance=1e-9, maximum=2000)
    assert history.converged(1e-9)
    dual, edges = now["D"], now["G"]
    assert 0.1 < (edges == 0).double().mean() < 0.9
    assert dual.abs().max() <= 0.1 + 1e-7
    torch.testing.assert_close(dual[edges != 0], 0.1 * edges[edges != 0].sign(), atol=1e-7, rtol=0)
    gap = now["x"] - y + (dual.chunk(2, 1)[0].roll(1, -1) - dual.chunk(2, 1)[0])
    gap = gap + dual.chunk(2, 1)[1].roll(1, -2) - dual.chunk(2, 1)[1]
    assert gap.abs().max() < 1e-6


@pytest.mark.parametrize("size", [(6, 7), (1, 5), (4, 1)])
def test_without_gradients_differences_are_the_same(size):
    x, y = torch.randn(2, 3, *size), torch.randn(2, 6, *size)
    found = differences(x), differences_adjoint(y)
    with torch.no_grad():
        assert torch.equal(differences(x), found[0])
        assert torch.equal(differences_adjoint(y), found[1])
