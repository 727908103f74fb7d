"""Certificates: what is measured equals dense algebra, and what is called proven holds."""

import pytest
import torch
from systems import random_kernel
from torch import nn

import unfold as uf
from unfold import UnfoldError, certify
from unfold.core import FixedPenalties, Prior, Stage, State, Unrolled, lower
from unfold.core.network import Network
from unfold.priors import IRCNN, ResUNet
from unfold.priors.lipschitz import conv_gain, lipschitz_bound

SIZE = (5, 6)
x, z = uf.blocks("x z")
y, k = uf.data("y k")


class Linear(Prior):
    """``A v``, A any 3×3 convolution."""

    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(3, 3, 3, padding=1, bias=False).double()

    def prox(self, v, step):
        return self.net(v)


class Small(Prior):
    """A smooth prox, so that each photo has a contraction of its own."""

    def prox(self, v, step):
        return 0.8 * torch.tanh(v)


class Blunt(Prior):
    def prox(self, v, step):
        if v.requires_grad:
            raise RuntimeError("no gradient passes")
        return v / 2


def inputs():
    torch.manual_seed(0)
    return {"y": torch.rand(1, 3, *SIZE, dtype=torch.float64), "k": random_kernel()}


def findings(network, **data):
    return {finding.claim: finding for finding in certify(network, **data).findings}


def split(prior, penalty=0.4):
    return uf.sq(uf.conv(k, x) - y) / 2 + prior + uf.constraint(x - z, penalty)


def test_contraction_is_the_spectral_radius_of_the_round():
    torch.manual_seed(1)
    objective = split(Linear()(z))
    network = objective.unroll(3, output=z).double()
    stage = network.stages.stages[0]
    data = inputs()

    def round(flat):
        values = dict(zip(("x", "z", "dual1"), flat.view(3, 1, 3, *SIZE), strict=True))
        after = stage(State({**data, **values}))
        return torch.cat([after[name].flatten() for name in values])

    dense = torch.autograd.functional.jacobian(round, torch.rand(9 * SIZE[0] * SIZE[1]).double())
    want = torch.linalg.eigvals(dense).abs().max().item()
    got = findings(network, **data)["contraction of a round"]
    assert got.status == "measured"
    assert float(got.value) == pytest.approx(want, rel=0.02)
    assert ("does not contract" in got.reason) == (want > 1)


def test_a_priors_gain_is_its_spectral_norm_and_its_bound_is_above():
    torch.manual_seed(2)
    prior = Linear()
    network = split(prior(z)).unroll(1, output=z).double()
    flat = torch.zeros(1, 3, *SIZE, dtype=torch.float64)
    dense = torch.autograd.functional.jacobian(prior.net, flat).flatten(4).reshape(flat.numel(), -1)
    want = torch.linalg.matrix_norm(dense, 2).item()
    got = findings(network, **inputs())["Lipschitz, prior on z"]
    assert got.status == "measured"
    assert float(got.value.removeprefix(">= ")) == pytest.approx(want, rel=0.02)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 2, 5, padding=1), nn.Conv2d(2, 3, 2, stride=2),
        nn.ConvTranspose2d(3, 2, 2, stride=2), nn.Conv2d(2, 2, 3, padding=2, dilation=2),
    ],
)  # fmt: skip
def test_a_convolutions_bound_is_above_its_norm_and_near(layer):
    torch.manual_seed(3)
    layer = layer.double()
    nn.init.normal_(layer.weight)
    start = torch.zeros(1, layer.in_channels, 12, 12, dtype=torch.float64)
    dense = torch.autograd.functional.jacobian(layer, start).reshape(-1, start.numel())
    norm = torch.linalg.matrix_norm(dense, 2).item()
    assert norm <= conv_gain(layer.weight) < (2.2 if layer.stride[0] > 1 else 1.4) * norm


@pytest.mark.parametrize(
    "prior",
    [IRCNN(width=4), ResUNet(widths=(4, 6)), ResUNet(widths=(4, 6), residual=True, unshuffle=2)],
    ids=["ircnn", "resunet", "residual"],
)
def test_the_bound_of_a_network_holds(prior):
    torch.manual_seed(4)
    for parameter in prior.parameters():
        nn.init.normal_(parameter, std=0.1)
    v, step = torch.randn(1, 3, 9, 8), torch.full((1, 1, 1, 1), 0.01)
    other = v + 1e-2 * torch.randn_like(v)
    gain = ((prior(v, step) - prior(other, step)).norm() / (v - other).norm()).item()
    assert 0 < gain <= prior.lipschitz() < float("inf")


def test_no_bound_where_nothing_is_known():
    assert lipschitz_bound(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))) == float("inf")
    assert lipschitz_bound(nn.Conv2d(2, 2, 3, groups=2)) == float("inf")
    assert lipschitz_bound(nn.ELU(alpha=3.0)) == float("inf")
    assert Linear().lipschitz() is None
    assert uf.create("priors", "l0").lipschitz() is None
    assert uf.create("priors", "total-variation").lipschitz() is None


def test_what_the_theory_proves_of_priors():
    for name in ("identity", "box", "soft-threshold", "ridge", "simplex"):
        prior = uf.create("priors", name)
        assert prior.lipschitz() == 1
        v, other = torch.randn(2, 1, 3, 8, 8)
        step = torch.full((1, 1, 1, 1), 0.3)
        assert (prior(v, step) - prior(other, step)).norm() <= (v - other).norm() * (1 + 1e-6)


def descent(network, **data):
    return findings(network, **data)["descent of the Lagrangian"]


def test_descent_is_proven_where_every_update_minimizes():
    quadratic = uf.sq(uf.conv(k, x) - y) / 2 + uf.sq(x - z) / 2
    exact = (quadratic + 0.1 * uf.l1(z)).unroll(2, output=z).double()
    assert descent(exact).status == "proven"
    values = []
    state = {**inputs(), "x": inputs()["y"], "z": inputs()["y"]}
    stage = exact.stages.stages[0]
    for _ in range(6):
        state = stage(state)
        values.append(stage.lagrangian.value(state, {}).item())
    assert values == sorted(values, reverse=True)
    inexact = (
        (quadratic + 0.1 * uf.prior("total-variation", iterations=2)(z))
        .unroll(2, output=z)
        .double()
    )
    assert descent(inexact).status == "unknown"
    assert descent(inexact, **inputs()).status == "measured"
    assert descent(split(0.1 * uf.l1(z)).unroll(2, output=z)).status == "unknown"


def test_descent_is_measured_where_it_is_not_proven():
    def swing(state, weights):
        """A step that takes z further from the minimum in every round."""
        return State(state).replace("z", -1.5 * state["z"])

    objective = uf.sq(x - y) / 2 + uf.sq(x - z) / 2
    (first, _) = lower(objective.lagrangian, ("x", "z"))
    stages = Unrolled(Stage([first, swing], FixedPenalties({})), repeat=2)
    rising = Network(objective, stages, output="z", start={})
    found = descent(rising, y=inputs()["y"])
    assert (found.status, found.value) == ("measured", "no")
    learned = split(Linear()(z)).unroll(2, output=z).double()
    assert descent(learned, **inputs()).reason == "the prior on z is only given by its prox"


def test_what_passes_no_gradient_is_unknown():
    network = split(0.1 * uf.l1(z)).unroll(1, output=z).double()
    network.stages.stages[0].lagrangian.priors["z"] = Blunt()
    found = findings(network, **inputs())
    for claim in ("contraction of a round", "Lipschitz, prior on z"):
        assert found[claim].status == "unknown"
        assert "no gradient passes" in found[claim].reason


def test_the_worst_photo_is_told_and_the_table_is_readable():
    network = split(0.1 * uf.prior(Small())(z)).equilibrium(output=z, tolerance=1e-6).double()
    data = inputs()
    two = {"y": torch.cat((data["y"], 0.1 * data["y"])), "k": data["k"]}
    each = [certify(network, y=photo[None], k=data["k"]) for photo in two["y"]]
    factors = [float(one.findings[0].value) for one in each]
    both = certify(network, **two)
    assert float(both.findings[0].value) == pytest.approx(max(factors), rel=0.05)
    assert float(both.findings[1].value) <= 1e-6
    lines = str(both).splitlines()
    assert lines[0].split() == ["claim", "status", "value", "why"]
    assert max(map(len, lines)) <= 100


def test_without_rounds_there_is_nothing_to_certify():
    with pytest.raises(UnfoldError, match="IdentityModel has no rounds"):
        certify(uf.create_model("identity"), torch.rand(1, 3, 8, 8))
