"""The losses of unpaired training, and who learns from them."""

import pytest
import torch
from torch import nn

from unfold.restorer import Restoration, Restorer
from unfold.training.unpaired import Discriminator, Generators


class Affine(Restorer):
    """``a x + b``."""

    def __init__(self, a, b):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(b))

    def forward(self, image, *, kernel=None, history=None):
        return Restoration(self.a * image + self.b)

    def explain(self):
        return "image = a · input + b"


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.7))

    def forward(self, image):
        return self.weight * image.mean(1, keepdim=True)


@pytest.fixture
def components():
    discriminator = Critic()
    weights = {"adversarial": 2.0, "cycle": 10.0, "identity": 5.0}
    generators = Generators(Affine(1.2, 0.1), Affine(0.5, 0.05), discriminator, **weights)
    return generators, Discriminator(discriminator), {"input": 0.5 * torch.rand(2, 3, 4, 4),
                                              "target": torch.rand(2, 3, 4, 4)}  # fmt: skip


def test_the_losses_are_the_papers(components):
    generators, discriminator, batch = components
    bad, good = batch["input"].clone(), batch["target"].clone()
    got = {name: loss.item() for name, loss in generators(batch).items()}
    got |= {name: loss.item() for name, loss in discriminator(batch).items()}
    made = 1.2 * bad + 0.1
    scores, real = (0.7 * x.mean(1) for x in (made, good))
    want = {
        "adversarial": 2 * ((scores - 1) ** 2).mean(),
        "cycle": 10 * (0.5 * made + 0.05 - bad).abs().mean(),
        "identity_target": 5 * (1.2 * good + 0.1 - good).abs().mean(),
        "identity_input": 5 * (0.5 * bad + 0.05 - bad).abs().mean(),
        "discriminator": 0.5 * (((real - 1) ** 2).mean() + (scores**2).mean()),
    }
    assert got == pytest.approx({name: loss.item() for name, loss in want.items()}, rel=1e-5)


def test_each_player_teaches_its_own_parameters_alone(components):
    generators, discriminator, batch = components
    assert {name.split(".")[0] for name, _ in generators.named_parameters()} == {
        "model", "backwards"
    }  # fmt: skip
    sum(generators(batch).values()).backward()
    assert discriminator.discriminator.weight.grad is None
    before = [p.grad.clone() for p in generators.parameters()]
    assert all(gradient.abs() > 0 for gradient in before)
    discriminator(batch)["discriminator"].backward()
    assert discriminator.discriminator.weight.grad.abs() > 0
    for parameter, gradient in zip(generators.parameters(), before, strict=True):
        assert torch.equal(parameter.grad, gradient)
