import numpy as np
import pytest
import torch
from torch import nn
from unfold_devudp import PatchDiscriminator, discriminator_losses, generator_losses
from unfold_devudp.presets import devudp_small


@pytest.fixture
def players():
    return devudp_small(), devudp_small(shortcut=True), PatchDiscriminator(widths=(4, 4))


@pytest.fixture
def photos():
    return torch.rand(2, 2, 3, 32, 40)


def numpy(x):
    return x.detach().double().numpy()


def test_the_generators_terms_are_the_formulas(players, photos):
    G, G_inv, D = players
    A, B = photos
    nn.init.constant_(G_inv.generator.tail.bias, 0.05)  # else the identity, whose terms are zero
    L = G(A).image
    on_the_papers_range = 2

    def mae(a, b):
        return on_the_papers_range * np.abs(numpy(a) - numpy(b)).mean()

    want = {
        "adversarial": ((numpy(D(L)) - 1) ** 2).mean(),
        "reconstruction": 10 * mae(A, G_inv(L).image),
        "self_regression": 5 * mae(B, G(B).image) + 5 * mae(A, G_inv(A).image),
    }
    got = generator_losses(G, G_inv, D, A, B)
    assert got.keys() == want.keys()
    for name, value in want.items():
        assert got[name].item() == pytest.approx(value, rel=1e-5), name


def test_the_discriminators_terms_are_the_formulas(players, photos):
    G, _, D = players
    A, B = photos
    got = discriminator_losses(G, D, A, B)
    assert got["real"].item() == pytest.approx(((numpy(D(B)) - 1) ** 2).mean() / 2, rel=1e-5)
    assert got["made"].item() == pytest.approx((numpy(D(G(A).image)) ** 2).mean() / 2, rel=1e-5)


def reached(module):
    return [p.grad is not None and bool(p.grad.any()) for p in module.parameters()]


def test_who_learns_from_what(players, photos):
    G, G_inv, D = players
    sum(discriminator_losses(G, D, *photos).values()).backward()
    assert not any(reached(G))
    assert any(reached(D))
    for module in players:
        module.zero_grad()
    terms = generator_losses(G, G_inv, D, *photos)
    terms["adversarial"].backward(retain_graph=True)
    assert all(reached(G))
    assert not any(reached(G_inv))
    (terms["reconstruction"] + terms["self_regression"]).backward()
    assert any(reached(G_inv))


def test_a_perfect_game_costs_what_it_should():
    """Identities on equal photos and an undecided judge: only the adversarial terms are left."""
    identity = devudp_small(shortcut=True, normalisation="none")
    undecided = PatchDiscriminator(widths=(4,))
    for parameter in undecided.parameters():
        nn.init.zeros_(parameter)
    nn.init.constant_(undecided.layers[-1].bias, 0.5)
    A = torch.rand(1, 3, 16, 16)
    terms = generator_losses(identity, identity, undecided, A, A)
    assert terms["adversarial"].item() == pytest.approx(0.25)
    assert terms["reconstruction"].item() < 1e-5
    assert terms["self_regression"].item() < 1e-5
    judged = discriminator_losses(identity, undecided, A, A)
    assert sum(judged.values()).item() == pytest.approx(0.25)
