import pytest
import torch
from torch.nn.functional import conv2d, instance_norm, leaky_relu
from unfold_devudp import PatchDiscriminator

from unfold.registry.spec import spec_type


def test_it_has_the_size_of_fcl_gans():
    made = spec_type("estimators", "patch-discriminator")().build()
    assert isinstance(made, PatchDiscriminator)
    assert sum(p.numel() for p in made.parameters()) == 391_657


def test_it_is_its_equations():
    discriminator = PatchDiscriminator(widths=(4, 6, 5)).double()
    image = torch.rand(2, 3, 40, 33, dtype=torch.float64)
    w = list(discriminator.parameters())
    x = leaky_relu(conv2d(2 * image - 1, w[0], w[1], stride=2, padding=1), 0.2)
    for i in (2, 4):
        x = leaky_relu(instance_norm(conv2d(x, w[i], w[i + 1], stride=2, padding=1)), 0.2)
    torch.testing.assert_close(discriminator(image), conv2d(x, w[6], w[7], padding=1))


@pytest.mark.parametrize(("size", "scores"), [((256, 256), (15, 15)), ((32, 70), (1, 3))])
def test_one_score_for_each_patch(size, scores):
    assert PatchDiscriminator()(torch.rand(2, 3, *size)).shape == (2, 1, *scores)


def test_a_score_sees_94_pixels():
    """Without normalization, which sees everything."""
    discriminator = PatchDiscriminator().double()
    for layer in discriminator.layers:
        if isinstance(layer, torch.nn.InstanceNorm2d):
            layer.forward = lambda x: x
    image = torch.rand(1, 3, 256, 256, dtype=torch.float64, requires_grad=True)
    discriminator(image)[0, 0, 7, 7].backward()
    seen = image.grad[0].abs().sum(0).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [94, 94]


@pytest.mark.parametrize("size", [(31, 64), (64, 31)])
def test_small_photos_are_refused(size):
    with pytest.raises(ValueError, match=r"at least 32×32 pixels, got \(1, 3"):
        PatchDiscriminator()(torch.rand(1, 3, *size))


@pytest.mark.parametrize("widths", [(), (4, 0)])
def test_refuses_no_network(widths):
    with pytest.raises(ValueError, match="needs positive widths"):
        PatchDiscriminator(widths=widths)
