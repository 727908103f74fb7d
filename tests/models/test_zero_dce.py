"""Zero-DCE against its equations. (The conformance kit runs in tests/testing.)"""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut

import unfold
from unfold.models.zero_dce import ZeroDCE


@pytest.fixture
def model():
    """A network that reacts strongly to what it sees, up and down."""
    torch.manual_seed(0)
    model = ZeroDCE().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model


def photo(rows=slice(40, 88), columns=slice(180, 240)):
    return torch.tensor(astronaut()[rows, columns]).permute(2, 0, 1)[None].float() / 255


def test_it_has_the_papers_size():
    assert sum(p.numel() for p in unfold.create_model("zero-dce").parameters()) == 79_416


@pytest.mark.parametrize("iterations", [1, 8])
def test_the_image_is_the_photo_after_the_curves(model, iterations):
    if iterations == 1:
        model = ZeroDCE(iterations=1)
    image = photo().double()
    with torch.no_grad():
        restoration = model.double()(image)
    curves = [restoration.parts[f"curve_{n}"] for n in range(1, iterations + 1)]
    assert len(restoration.parts) == iterations
    x = image
    for curve in curves:
        assert curve.shape == image.shape
        assert curve.abs().max() <= 1
        x = x + curve * (x - x * x)
    torch.testing.assert_close(restoration.image, x, rtol=0, atol=1e-14)
    assert (restoration.image - image).abs().max() > 1e-3


def test_each_curve_has_its_own_outputs_in_the_papers_order(model):
    """Three maps a curve: the nth has outputs 3n to 3n + 3 of the network."""
    raw = model.network.without_frame(photo())
    parts = model(photo()).parts
    torch.testing.assert_close(raw[:, 3:6], parts["curve_2"])
    torch.testing.assert_close(raw[:, 21:], parts["curve_8"])


@pytest.mark.parametrize(("bias", "sign"), [(3.0, 1), (-3.0, -1)])
def test_positive_curves_brighten_and_black_and_white_stay(bias, sign):
    model = ZeroDCE()
    with torch.no_grad():
        model.network.tail.weight.zero_()
        model.network.tail.bias.fill_(bias)
        ramp = torch.linspace(0, 1, 64).expand(1, 3, 4, 64)
        image = model(ramp).image
    assert (sign * (image - ramp)[..., 1:-1] > 0).all()
    assert (image.diff(dim=-1) >= 0).all()
    assert torch.equal(image[..., [0, -1]], ramp[..., [0, -1]])


def test_a_flat_photo_gets_no_frame(model):
    with torch.no_grad():
        assert model(torch.full((1, 3, 20, 31), 0.3)).image.std((2, 3)).max() < 1e-6


def test_noise_beyond_the_range_is_clipped_before(model):
    noisy = photo() + 0.1 * torch.randn(1, 3, 48, 60)
    assert noisy.min() < 0
    with torch.no_grad():
        assert torch.equal(model(noisy).image, model(noisy.clamp(0, 1)).image)


@given(batch=st.integers(1, 2), size=st.tuples(st.integers(1, 20), st.integers(1, 20)))
@settings(max_examples=10, deadline=None)
def test_any_size_and_batch(batch, size):
    torch.manual_seed(0)
    model = ZeroDCE(width=4, iterations=2)
    image = torch.rand(batch, 3, *size)
    with torch.no_grad():
        assert model(image).image.shape == image.shape


def test_it_can_learn_to_brighten():
    torch.manual_seed(0)
    model = ZeroDCE(width=8)
    bright = photo(slice(40, 64), slice(190, 214))
    dark = 0.3 * bright
    start = copy.deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(20):
        optimizer.zero_grad()
        loss = (model(dark).image - bright).abs().mean()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        before, after = ((m(dark).image - bright).abs().mean() for m in (start, model))
    assert after < before / 2


def test_explain_says_what_it_is(model):
    text = model.explain()
    assert "79,416 parameters" in text
    assert "8 times" in text
