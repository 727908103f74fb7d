"""The masked convolution against dense algebra, and at mask 1 against the convolution."""

import pytest
import torch
from systems import random_kernel

from unfold.core import CG, Constraint, Equal, Lagrangian, Quadratic, State, Structure, lower
from unfold.terms import Convolution, MaskedConvolution

CONVERGED = CG(maximum=500, tolerance=1e-14)
MASKED = MaskedConvolution("I", kernel="H", mask="T", observed="X")


def state(size=(5, 6), kernel=(3, 2)):
    made = {name: torch.rand(2, 3, *size, dtype=torch.float64) for name in "IXZD"}
    mask = torch.rand(2, 1, *size, dtype=torch.float64)
    mask[..., 0, :] = 0  # some pixels are not trusted at all
    return {**made, "H": random_kernel(2, 1, kernel), "T": mask}


def lagrangian(fit):
    split = Constraint(Equal("I", "Z"), penalty="penalty", dual="D")
    return Lagrangian(Quadratic(fit, "w"), split)


WEIGHTS = {"w": 1.3, "penalty": 0.05}


def dense(blur, entries, size):
    """The matrix of the blur, column by column, of each image."""
    pixels = size[0] * size[1]
    basis = torch.eye(pixels, dtype=torch.float64).view(pixels, 1, *size)
    columns = []
    for i in range(2):
        one = {"I": basis, "X": torch.zeros_like(basis), "H": entries["H"][i : i + 1]}
        columns.append(blur(one).flatten(1).T)
    return torch.stack(columns)


@pytest.mark.parametrize("size", [(5, 6), (4, 7)])
def test_its_update_is_a_dense_solve(size):
    entries = state(size)
    (step,) = lower(lagrangian(MASKED), ("I",), CONVERGED)
    got = step(State(entries), WEIGHTS)["I"]
    blur = dense(Convolution("I", kernel="H", observed="X"), entries, size)
    mask = entries["T"].flatten(1).square()
    for b in range(2):
        weighted = 1.3 * blur[b].T * mask[b]
        normal = weighted @ blur[b] + 0.05 * torch.eye(len(blur[b]), dtype=torch.float64)
        for c in range(3):
            x, z, d = (entries[name][b, c].flatten() for name in "XZD")
            want = torch.linalg.solve(normal, weighted @ x + 0.05 * z - d)
            torch.testing.assert_close(got[b, c].flatten(), want, rtol=0, atol=1e-9)


def test_with_a_mask_of_one_it_is_the_convolution():
    entries = state()
    entries["T"] = torch.ones_like(entries["T"])
    plain = Convolution("I", kernel="H", observed="X")
    torch.testing.assert_close(MASKED(entries), plain(entries))
    made = [
        lower(lagrangian(term), ("I",), CONVERGED)[0](State(entries), WEIGHTS)["I"]
        for term in (MASKED, plain)
    ]
    torch.testing.assert_close(*made, rtol=0, atol=1e-10)


def test_what_is_not_trusted_has_no_say():
    entries = state()
    other = {**entries, "X": entries["X"].clone()}
    other["X"][..., 0, :] += 7
    (step,) = lower(lagrangian(MASKED), ("I",), CONVERGED)
    made = [step(State(one), WEIGHTS)["I"] for one in (entries, other)]
    torch.testing.assert_close(*made, rtol=0, atol=1e-12)


def test_the_observation_is_pixel_diagonal():
    assert MASKED.blocks == {"I": Structure.MATRIX_FREE, "X": Structure.PIXEL}
    assert "T⊙(H⊗I − X)" in lagrangian(MASKED).explain()
    assert "Hᵀ" in lagrangian(MASKED).explain()
