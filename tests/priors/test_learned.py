"""Every installed prior: one contract, whether learned or in closed form."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d, pixel_shuffle, pixel_unshuffle

from unfold.priors import IRCNN, ResUNet
from unfold.priors.blocks import ConvOfSquares, UNet
from unfold.registry import scan
from unfold.registry.spec import spec_type

# (Plugins run the conformance kit in tests of their own.)
PRIORS = [
    c.name for c in scan().components if (c.group, c.distribution) == ("priors", "unfold-imaging")
]


def build(name, channels=3):
    torch.manual_seed(0)
    spec = spec_type("priors", name)
    return spec().build(channels)


@pytest.fixture(scope="module")
def priors():
    return {name: build(name).eval() for name in PRIORS}


@pytest.mark.parametrize("name", PRIORS)
@given(
    batch=st.integers(1, 2),
    size=st.tuples(st.integers(1, 17), st.integers(1, 17)),
    step=st.sampled_from(["scalar", "per image", "map", "full map"]),
    double=st.booleans(),
)
@settings(max_examples=15, deadline=None)
def test_shape_dtype_and_independence_of_images(priors, name, batch, size, step, double):
    dtype = torch.float64 if double else torch.float32
    prior = priors[name].to(dtype)
    v = torch.randn(batch, 3, *size, dtype=dtype)
    shape = {
        "scalar": (1, 1, 1, 1),
        "per image": (batch, 1, 1, 1),
        "map": (batch, 1, *size),
        "full map": (batch, 3, *size),
    }[step]
    steps = torch.rand(shape, dtype=dtype) + 0.01
    copies = v.clone(), steps.clone()
    with torch.no_grad():
        x = prior(v, steps)
        last = prior(v[-1:], steps[-1:])
    assert x.shape == v.shape
    assert x.dtype == dtype
    assert x.isfinite().all()
    assert torch.equal(v, copies[0])
    assert torch.equal(steps, copies[1])
    torch.testing.assert_close(x[-1:], last, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", PRIORS)
def test_gradients_flow_to_the_input_and_the_step(priors, name):
    prior = priors[name].double()
    v = (0.4 * torch.randn(1, 3, 6, 7, dtype=torch.float64) + 0.5).requires_grad_()
    step = torch.full((1, 1, 1, 1), 0.1, dtype=torch.float64, requires_grad=True)
    value = prior(v, step).square().sum()
    gradient = torch.autograd.grad(value, (v, step), allow_unused=True)
    assert gradient[0].isfinite().all()
    assert gradient[0].any()
    assert gradient[1] is None or gradient[1].isfinite().all()


@pytest.mark.parametrize("name", ["resunet", "ircnn"])
def test_learned_priors_have_no_value_and_survive_a_state_dict(name):
    prior, other = build(name), build(name)
    assert prior.value(torch.rand(1, 3, 4, 4)) is None
    for parameter in prior.parameters():
        parameter.data += 0.01
    other.load_state_dict(prior.state_dict())
    v, step = torch.rand(1, 3, 16, 16), torch.ones(1, 1, 1, 1)
    assert torch.equal(prior(v, step), other(v, step))


def test_resunet_is_conditioned_on_the_square_root_of_the_step():
    torch.manual_seed(0)
    prior = ResUNet(widths=(8, 16)).double()
    v = torch.rand(1, 3, 12, 12, dtype=torch.float64)
    step = torch.rand(1, 1, 12, 12, dtype=torch.float64)
    # Free of biases: prox(a v, a² step) = a prox(v, step).
    torch.testing.assert_close(prior(3 * v, 9 * step), 3 * prior(v, step))
    assert not torch.allclose(prior(v, step), prior(v, 2 * step))
    blind = ResUNet(widths=(8, 16), conditioned=False).double()
    assert torch.equal(blind(v, step), blind(v, 2 * step))


def test_resunet_in_residual_form_starts_as_the_identity():
    v, step = torch.rand(2, 3, 9, 10), torch.ones(1, 1, 1, 1)
    assert torch.equal(ResUNet(widths=(8, 16), residual=True)(v, step), v)


def test_resunet_has_the_size_that_judes_total_implies():
    """15 of them come to 34.5 million."""
    count = sum(p.numel() for p in ResUNet().parameters())
    assert 15 * count == pytest.approx(34.5e6, rel=1e-3)


@pytest.mark.parametrize("size", [(8, 8), (5, 6), (8, 7), (1, 1)])
def test_a_unet_pads_at_the_right_and_bottom_by_replication_and_crops(size):
    net = UNet(3, 2, (4, 8, 16), 1)
    x = torch.rand(2, 3, *size)
    padded = torch.nn.functional.pad(x, (0, -size[1] % 4, 0, -size[0] % 4), mode="replicate")
    got = net(x)
    assert got.shape == (2, 2, *size)
    assert torch.equal(got, net(padded)[..., : size[0], : size[1]])


@pytest.mark.parametrize("level", range(3))
def test_a_unet_has_a_skip_at_each_level(level):
    net = UNet(3, 2, (4, 8, 16), 1)
    below = (net.up[1], net.up[0], net.body)[level]
    encoder = (net.head, net.down[0], net.down[1])[level]
    below.register_forward_hook(lambda module, inputs, output: 0 * output)
    net(torch.rand(1, 3, 8, 8)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())


def test_ircnn_subtracts_what_its_network_finds():
    prior, v = IRCNN(width=4), torch.rand(2, 3, 9, 10)
    torch.nn.init.zeros_(prior.net[-1].weight)
    torch.nn.init.constant_(prior.net[-1].bias, 0.25)
    torch.testing.assert_close(prior(v, torch.ones(1, 1, 1, 1)), v - 0.25)


def test_ircnn_sees_33_pixels():
    prior = IRCNN(1, width=4).double()
    for module in prior.net:
        if isinstance(module, torch.nn.Conv2d):  # keep every ReLU open
            module.weight.data.abs_()
            module.bias.data.fill_(1.0)
    v = torch.rand(1, 1, 41, 41, dtype=torch.float64, requires_grad=True)
    net = v - prior(v, torch.ones(1, 1, 1, 1).double())
    gradient = torch.autograd.grad(net[0, 0, 20, 20], v)[0][0, 0]
    rows = gradient.any(1).nonzero()
    assert (rows.min().item(), rows.max().item()) == (4, 36)


@pytest.mark.parametrize("bad", [{"widths": ()}, {"widths": (8, 0)}, {"blocks": 0}])
def test_refuses(bad):
    with pytest.raises(ValueError, match="at least one width"):
        ResUNet(**bad)


@pytest.mark.parametrize("side", [1, 2, 4])
def test_a_convolution_of_squares_is_one_of_unshuffled_pixels(side):
    conv = ConvOfSquares(3, 5, side)
    x = torch.randn(2, 3, 24, 16, generator=torch.Generator().manual_seed(0))
    want = conv2d(pixel_unshuffle(x, side), conv.weight, padding=1)
    torch.testing.assert_close(conv(x), want, rtol=0, atol=1e-5)


def test_a_unet_shuffles_its_squares_back():
    net = UNet(3, 2, (4, 8), 1, unshuffle=2)
    made = []
    net.tail.register_forward_hook(lambda _, __, out: made.append(out))
    out = net(torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(out, pixel_shuffle(made[0], 2))
