"""Batched conjugate gradients against dense solves; their gradient against finite differences."""

import pytest
import torch

from unfold.core import CG


def systems(batch=3, n=12, spread=1e3):
    """Random symmetric positive definite matrices acting on (batch, 1, 3, 4) images."""
    basis = torch.linalg.qr(torch.randn(batch, n, n, dtype=torch.float64))[0]
    values = torch.logspace(0, torch.log10(torch.tensor(spread)), n, dtype=torch.float64)
    matrix = basis @ (values.view(1, n, 1) * basis.mT)
    rhs = torch.randn(batch, 1, 3, 4, dtype=torch.float64)
    return matrix, rhs


def times(matrix):
    return lambda x: (matrix @ x.flatten(1).unsqueeze(-1)).reshape(x.shape)


def identity(r):
    return r


def test_equals_a_dense_solve():
    matrix, rhs = systems()
    x = CG(200, 1e-13).solve(times(matrix), rhs, torch.zeros_like(rhs), identity)
    want = torch.linalg.solve(matrix, rhs.flatten(1).unsqueeze(-1)).reshape(rhs.shape)
    torch.testing.assert_close(x, want, rtol=0, atol=1e-10)


def test_stops_when_every_image_is_within_tolerance():
    matrix, rhs = systems()
    calls = []

    def apply(x):
        calls.append(1)
        return times(matrix)(x)

    start = torch.zeros_like(rhs)
    with torch.no_grad():
        x = CG(500, 1e-3).solve(apply, rhs, start, identity)
        early = len(calls)
        CG(500, 1e-12).solve(apply, rhs, start, identity)
    relative = (rhs - times(matrix)(x)).flatten(1).norm(dim=1) / rhs.flatten(1).norm(dim=1)
    assert (relative <= 1.01e-3).all()
    assert early < len(calls) - early < 100


def test_an_image_that_is_solved_already_stays_put_among_others():
    matrix, rhs = systems()
    exact = torch.linalg.solve(matrix, rhs.flatten(1).unsqueeze(-1)).reshape(rhs.shape)
    start = torch.zeros_like(rhs)
    start[1], rhs = 0, rhs.clone()
    rhs[1] = 0
    exact[1] = 0
    x = CG(200, 1e-12).solve(times(matrix), rhs, start, identity)
    torch.testing.assert_close(x, exact, rtol=0, atol=1e-9)
    fixed = CG(40, None).solve(times(matrix), rhs, x, identity)
    assert fixed.isfinite().all()


def test_a_good_preconditioner_and_a_warm_start_save_iterations():
    matrix, rhs = systems(spread=1e4)
    inverse = torch.linalg.inv(matrix + 0.01 * torch.eye(12).double())
    calls = []

    def apply(x):
        calls.append(1)
        return times(matrix)(x)

    counts = []
    with torch.no_grad():
        for start, precondition in (
            (torch.zeros_like(rhs), identity),
            (torch.zeros_like(rhs), times(inverse)),
        ):
            calls.clear()
            x = CG(500, 1e-8).solve(apply, rhs, start, precondition)
            counts.append(len(calls))
        calls.clear()
        CG(500, 1e-8).solve(apply, rhs, x, identity)
        counts.append(len(calls))
    assert counts[1] < counts[0] / 2
    assert counts[2] == 1


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_last_of_a_fixed_number_of_iterations_takes_the_energy(count):
    matrix, rhs = systems()
    start, applied, measured = torch.randn_like(rhs), [], []

    def apply(x):
        applied.append(1)
        return times(matrix)(x)

    def energy(x):
        measured.append(1)
        return (x * times(matrix)(x)).sum((1, 2, 3), keepdim=True)

    residual = rhs - times(matrix)(start)
    with torch.no_grad():
        x = CG(count, None).solve(apply, rhs, start, identity, lambda _: residual, energy)
    assert (len(applied), len(measured)) == (count - 1, 1)
    # Conjugate gradients minimize over start + span{r, A r, ..., A^(count - 1) r}.
    powers = [residual.flatten(1).unsqueeze(-1)]
    for _ in range(count - 1):
        powers.append(matrix @ powers[-1])
    basis = torch.linalg.qr(torch.cat(powers, -1))[0]
    best = basis @ torch.linalg.solve(basis.mT @ matrix @ basis, basis.mT @ powers[0])
    torch.testing.assert_close(x, start + best.reshape(x.shape), rtol=0, atol=1e-9)


def test_gradient_is_that_of_the_solution():
    def solve(values, rhs):
        matrix = torch.diag_embed(values) + 0.1 * torch.ones(12, 12).double()
        return CG(100, 1e-14).solve(times(matrix), rhs, torch.zeros_like(rhs), identity)

    values = (1 + torch.rand(1, 12)).double().requires_grad_()
    rhs = torch.randn(1, 1, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(solve, (values, rhs))


@pytest.mark.parametrize("bad", [{"maximum": 0}, {"tolerance": 0.0}, {"tolerance": -1.0}])
def test_refuses(bad):
    with pytest.raises(ValueError, match="must be"):
        CG(**bad)
