"""Shares of the data in the normal matrix of a block equal dense algebra."""

import pytest
import torch
from systems import ERA_ORDER, ERA_WEIGHTS, JUDE_ORDER, JUDE_WEIGHTS, era, jude, random_state

import unfold as uf
from unfold.core import CG, explained, measured_share
from unfold.core.measured import data_terms
from unfold.priors import SoftThreshold

SHAPE = (2, 1, 3, 4)
JUDE_STATE = ("I", "Z", "P", "Q", "R", "L", "X", "G", "O", "D")
ERA_STATE = ("U", "Z", "X", "E", "P", "Y", "G", "O", "D")
x, z = uf.blocks("x z")
y, k, m = uf.data("y k m")


def dense(lagrangian, block, terms, state, penalties):
    """The Hessian in one block of some terms of a Lagrangian, of each image, by autograd."""
    shape = state[block].shape[1:]
    hessians = []
    for i in range(len(state[block])):
        one = {name: value[i : i + 1] for name, value in state.items()}

        def value(flat, one=one):
            at = {**one, block: flat.view(1, *shape)}
            return sum(penalties.get(w, w) / 2 * term(at).square().sum() for w, term in terms)

        flat = one[block].flatten()
        hessians.append(torch.autograd.functional.hessian(value, flat))
    return torch.stack(hessians)


def weighted(lagrangian, numbers):
    every = [(t.weight, t.residual) for t in lagrangian.quadratics]
    every += [(t.penalty, t.residual) for t in lagrangian.constraints]
    return [every[i] for i in numbers]


def wanted(lagrangian, block, measured, state, penalties):
    everything = weighted(lagrangian, range(len(lagrangian.terms) - len(lagrangian.regularizers)))
    whole = dense(lagrangian, block, everything, state, penalties)
    part = dense(lagrangian, block, weighted(lagrangian, measured), state, penalties)
    diagonal = torch.linalg.solve(whole, part).diagonal(dim1=-2, dim2=-1)
    return diagonal.view(state[block].shape)


# Terms in the order of `weighted`: JUDE's blur, product, R = P, L = Q, I = Z; ErA's Y, blur, X = Z,
# E = P. Which of them lead to the observation, with the block taken out, is read off the graph.
@pytest.mark.parametrize(
    ("make", "block", "measured"),
    [
        (jude, "I", [0]),
        (jude, "Z", [4]),
        (jude, "P", [1]),
        (jude, "R", [2]),
        (era, "U", [0]),
        (era, "X", [1]),
        (era, "Z", [2]),
        (era, "P", [3]),
    ],
)
def test_share_equals_dense_algebra(make, block, measured):
    torch.manual_seed(0)
    names, order, penalties = (
        (JUDE_STATE, JUDE_ORDER, JUDE_WEIGHTS) if make is jude
        else (ERA_STATE, ERA_ORDER, ERA_WEIGHTS)
    )  # fmt: skip
    lagrangian, state = make(), random_state(names, SHAPE)
    share = measured_share(lagrangian, block, order, state, penalties)
    want = wanted(lagrangian, block, measured, state, penalties)
    torch.testing.assert_close(share.expand_as(want), want)


def test_probes_come_close_where_no_basis_is_diagonal():
    torch.manual_seed(0)
    L = uf.sq(m * (uf.conv(k, x) - y)) / 2 + uf.constraint(x - z, "w") + uf.tv(z)
    state = random_state("xyz", (1, 1, 3, 4))
    state |= {"k": state.pop("H"), "m": torch.rand(1, 1, 3, 4).double().round()}
    state[L.lagrangian.constraints[0].dual] = state["x"]
    share = measured_share(L.lagrangian, "x", "xz", state, {"w": 0.1}, cg=CG(12, None), probes=200)
    want = wanted(L.lagrangian, "x", [0], state, {"w": 0.1})
    assert want.max() - want.min() > 0.1
    assert (share - want).abs().max() < 0.07
    assert (share - want).abs().mean() < 0.02


def test_what_is_held_is_an_observation_only_where_it_enters_alone():
    torch.manual_seed(0)
    L = (uf.sq(uf.conv(k, x)) / 2 + uf.sq(x - y) / 2 + uf.constraint(x - z, 0.3)).lagrangian
    state = random_state("xyz", SHAPE)
    state["k"] = state.pop("H")
    assert data_terms(L, "xz", state) == (L.quadratics[1],)
    assert measured_share(L, "x", "xz", state, {}).max() < 1


def test_an_unknown_block():
    L = (uf.sq(x - y) / 2 + uf.ridge(x)).lagrangian
    with pytest.raises(ValueError, match="'q' is no block; blocks are x"):
        measured_share(L, "q", "x", {"x": torch.ones(1, 1, 2, 2), "y": torch.ones(1, 1, 2, 2)}, {})


def test_what_the_rest_explains():
    torch.manual_seed(0)
    state = random_state(ERA_STATE, SHAPE)
    lagrangian = era()
    ((made, given),) = explained(lagrangian, ERA_ORDER, state)
    blur = lagrangian.constraints[0].residual
    # U is B X, where E, which has a prior, stays.
    torch.testing.assert_close(given, -state["Y"])
    torch.testing.assert_close(-made, state["U"] + blur(state) + state["E"])

    state = random_state(JUDE_STATE, SHAPE)
    ((made, given),) = explained(jude(), JUDE_ORDER, state)
    torch.testing.assert_close(
        -made, jude().quadratics[0].residual({**state, "I": state["Z"]}) + state["X"]
    )
    # A block with a prior is not replaced.
    L = (uf.sq(x - y) / 2 + SoftThreshold()(x) + uf.constraint(x - z, 1.0)).lagrangian
    state = random_state("xyz", SHAPE)
    ((made, _),) = explained(L, "xz", state)
    torch.testing.assert_close(-made, state["x"])
