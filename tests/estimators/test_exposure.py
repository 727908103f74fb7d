"""Exposure estimated from a photo's histogram, and what jude-small does with it."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import avg_pool2d, interpolate

import unfold
from unfold.degradation import LowLight
from unfold.degradation.color_space import decode, encode
from unfold.estimators import IlluminationNet
from unfold.estimators.exposure import (
    LARGEST,
    HistogramExposure,
    amplification,
    expose,
    gain_and_curve,
    spread,
)

POINT = torch.ones(1, 1, 1, 1)


@pytest.fixture(scope="module")
def photo():
    return picture("coffee")


def picture(name):
    data = pytest.importorskip("skimage.data")
    image = getattr(data, name)()
    return torch.from_numpy(image).float().permute(2, 0, 1)[None] / 255


def darkened(image, exposure):
    degradation = LowLight(exposure=(exposure, exposure))
    drawn = degradation.sample(1, torch.Generator().manual_seed(0))
    return encode(degradation.apply(decode(image, "srgb"), drawn), "srgb").clamp(0, 1)


def test_the_spread_is_numpys(photo):
    image = avg_pool2d(photo, 4)[..., :75, :101]  # of 7,575 pixels
    found = spread(image)[0]
    q = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.995, 0.999]
    for values, part in ((image.amax(1), found[:12]), (image.mean(1), found[12:])):
        want = [*np.quantile(values.numpy(), q, method="nearest"), values.mean().item()]
        np.testing.assert_allclose(part.numpy(), np.maximum(want, 1e-3), rtol=1e-5)


@given(st.floats(1, 24), st.floats(1, 24), st.floats(0, 1))
def test_the_curve_is_a_gain_in_the_darks_and_keeps_white(gain, curve, value):
    g, c = torch.tensor([gain, curve]).double().view(2, 1, 1, 1, 1)
    x = torch.tensor([0.0, 1 / gain, 0.9 * value, value]).double().view(1, 1, 2, 2)
    x.requires_grad_()
    y = expose(x, g, c)
    (slope,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(y.flatten()[:2], torch.tensor([0.0, 1.0]).double())
    assert slope.flatten()[0].item() == pytest.approx(gain * curve)
    assert y.flatten()[3] >= y.flatten()[2]


@given(st.floats(1e-3, 1), st.floats(-5, 5), st.floats(-5, 5))
def test_a_bright_photo_gets_no_curve(white, beyond, curve):
    image = torch.full((1, 3, 20, 20), 0.5 * white)  # its mean is half of white: no dark photo
    image[..., 0, :4] = white  # one pixel in a hundred
    found = gain_and_curve(torch.tensor([[beyond, curve]]), spread(image))
    room = 1 / max(white, 1e-3)
    want = min(max(1.0, room * math.exp(min(1.0, beyond))), math.exp(3.7))
    assert found[0].item() == pytest.approx(want, rel=1e-5)
    assert found[1].item() == 1


@given(st.floats(0.02, 1), st.floats(-5, 5), st.floats(-5, 5))
def test_a_dark_photo_gets_a_gain_beyond_white_and_a_curve(white, beyond, curve):
    image = torch.full((1, 3, 20, 20), 0.1 * white)
    image[..., 0, :4] = white
    gain, found = gain_and_curve(torch.tensor([[beyond, curve]]), spread(image))
    want = min(max(1.0, math.exp(min(1.0, beyond)) / max(white, 1e-3)), math.exp(3.7))
    assert gain.item() == pytest.approx(want, rel=1e-4)
    want = min(1 + math.exp(2 * curve - 2), math.exp(3), LARGEST / want)
    assert found.item() == pytest.approx(max(1.0, want), rel=1e-4)


@pytest.mark.parametrize("name", ["coffee", "astronaut", "chelsea"])
@pytest.mark.parametrize("exposure", [0.03, 0.1, 0.3])
def test_dark_photos_are_brought_near_to_what_they_were(name, exposure):
    """Far nearer than it was, and not far from the best of all that are tried."""
    photo = avg_pool2d(picture(name), 2)
    dark = darkened(photo, exposure)
    gain, curve = HistogramExposure()(dark)
    errors = [
        (expose(dark, torch.tensor(g), torch.tensor(c)) - photo).square().mean()
        for g in np.geomspace(1, 40, 30)
        for c in (1, 1.5, 2, 4)
    ]
    left = (expose(dark, gain, curve) - photo).square().mean()
    assert left < 0.4 * (dark - photo).square().mean()
    assert left.sqrt() < min(errors).sqrt() + 0.13


@pytest.mark.parametrize("name", ["coffee", "astronaut", "chelsea"])
def test_good_photos_stay(name):
    gain, curve = HistogramExposure()(picture(name))
    assert 1 <= gain * curve < 1.05


def test_lamps_in_the_dark_are_kept_and_the_dark_is_lifted(photo):
    night = darkened(photo, 0.05)
    night[..., 100:130, 100:200] = 1
    gain, curve = HistogramExposure()(night)
    assert gain * curve > 1.5
    exposed = expose(night, gain, curve)
    assert exposed[..., 100:130, 100:200].amin() >= 1  # (white stays white)
    outside = torch.ones_like(night, dtype=torch.bool)
    outside[..., 100:130, 100:200] = False
    assert exposed[outside].mean() > 1.5 * night[outside].mean()


def test_photos_of_a_batch_are_told_apart_in_any_precision(photo):
    estimator = HistogramExposure()
    batch = torch.cat([photo, darkened(photo, 0.1)])
    found = torch.cat(estimator(batch), 1)
    alone = torch.cat([torch.cat(estimator(one[None]), 1) for one in batch])
    torch.testing.assert_close(found, alone)
    double = torch.cat(estimator(batch.double()), 1)
    assert double.dtype == torch.float64
    torch.testing.assert_close(found.double(), double, rtol=1e-4, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(torch.cat(estimator(batch), 1), found)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (3, 2)])
@pytest.mark.parametrize("value", [0.0, 0.2, 1.0])
def test_whatever_it_is_given_it_stays_within_its_bounds(size, value):
    gain, curve = HistogramExposure()(torch.full((2, 3, *size), value))
    assert gain.shape == curve.shape == (2, 1, 1, 1)
    assert ((gain >= 1) & (curve >= 1) & (gain * curve <= LARGEST * 1.001)).all()


def test_a_large_photo_is_looked_at_here_and_there(photo):
    dark = darkened(photo, 0.1)
    large = dark.repeat(1, 1, 3, 4)  # 2.9 million pixels
    estimator = HistogramExposure()
    found, want = (torch.cat(estimator(x)) for x in (large, dark))
    torch.testing.assert_close(found, want, rtol=0.03, atol=0)


def test_it_is_not_trained_and_is_saved(photo):
    estimator = HistogramExposure()
    assert not [*estimator.parameters()]
    assert len(estimator.state_dict()) == 6
    gain, _ = estimator(darkened(photo, 0.1).requires_grad_())
    assert not gain.requires_grad


@torch.inference_mode()
def test_untrained_jude_small_exposes_and_no_more(photo):
    model = unfold.create_model("jude-small").eval()
    small = avg_pool2d(photo, 4)
    dark = darkened(small, 0.1)

    def error(image, want):
        return (model(image, kernel=POINT).image - want).square().mean().sqrt()

    # An identity, where no kernel is to be undone.
    assert error(small, small) < 0.03
    assert error(dark, expose(dark, *HistogramExposure()(dark)).clamp(0, 1)) < 0.04


@torch.inference_mode()
def test_a_part_is_exposed_as_the_whole(photo):
    model = unfold.create_model("jude-small").eval()
    small = avg_pool2d(photo, 4)
    dark = darkened(small, 0.1)
    whole = torch.cat([dark, small], -1)
    measurements = model.measure(whole, kernel=POINT)
    gain, curve = HistogramExposure()(whole)
    assert (measurements["gain"], measurements["curve"]) == (gain, curve)
    # (Untrained, I is the exposed photo, nearly.)
    found = model(dark, kernel=POINT, measurements=measurements).parts["I"]
    assert (found - expose(dark, gain, curve)).abs().mean() < 0.02
    alone = model(dark, kernel=POINT).parts["I"]
    assert (alone - expose(dark, *HistogramExposure()(dark))).abs().mean() < 0.03
    assert (alone - found).abs().mean() > 0.1
    assert set(measurements) == {"gain", "curve", "noise", "residue", "grain", "noise_ratio"}
    assert set(model.measure(whole)) == {*measurements, "kernel"}


@given(st.floats(1, 8), st.floats(1, 20), st.floats(0, 0.12))
def test_noise_is_amplified_by_the_slope_of_the_exposure(gain, curve, value):
    g, c = torch.tensor([gain, curve]).double().view(2, 1, 1, 1, 1)
    x = torch.full((1, 3, 5, 9), value).double().requires_grad_()
    (slope,) = torch.autograd.grad(expose(x, g, c).sum(), x)
    torch.testing.assert_close(amplification(x.detach(), g, c), slope)


def test_the_noise_at_each_pixel_is_that_of_the_exposed_photo():
    """A plane of dark and of bright, each with noise that white balance made different."""
    plain = torch.tensor([0.02, 0.25]).repeat_interleave(96).expand(1, 3, 128, 192)
    ratio = torch.tensor([0.008, 0.004, 0.005]).view(1, 3, 1, 1)
    noise = torch.randn(20, *plain.shape[1:], generator=torch.Generator().manual_seed(0))
    model = unfold.create_model("jude-small").eval()
    model.exposure.forward = lambda image: (torch.full((1, 1, 1, 1), 3.0),) * 2
    photo = plain + ratio * noise[:1]
    known = model.estimate(photo, POINT, None)
    found = known.frame.crop(known.noise)[0, 0]
    gain, curve = known.measurements["gain"], known.measurements["curve"]
    exposed = expose(plain + ratio * noise, gain, curve)
    want = (exposed - expose(plain, gain, curve)).std(0)[0]  # of red, the noisiest
    for half in (slice(8, 88), slice(104, 184)):
        assert found[:, half].mean().item() == pytest.approx(want[:, half].mean().item(), rel=0.15)
    assert want[:, :88].mean() > 2 * want[:, 104:].mean()


def test_a_pooled_enhancer_sees_the_whole_photo():
    """What is far away changes the gain here, and without pooling it does not."""
    torch.manual_seed(0)
    light = torch.rand(1, 3, 64, 64)
    other = light.clone()
    other[..., 56:] = 0
    for pooled in (True, False):
        enhancer = IlluminationNet(widths=(4, 8), pooled=pooled)
        torch.nn.init.normal_(enhancer.tail.weight)
        same = torch.equal(enhancer(light)[0][..., :8], enhancer(other)[0][..., :8])
        assert same is not pooled


def test_without_gradients_a_photo_is_exposed_the_same():
    image, gain, curve = torch.rand(2, 3, 8, 8), *(1 + torch.rand(2, 2, 1, 1, 1))
    given, exposed = image.clone(), expose(image, gain, curve)
    with torch.no_grad():
        assert torch.equal(expose(image, gain, curve), exposed)
    assert torch.equal(image, given)


def test_the_light_is_told_by_the_tail_of_what_is_enlarged():
    """The tail is taken before the last enlargement, which costs less."""
    net = IlluminationNet(1, widths=(4, 8, 16))
    torch.nn.init.normal_(net.tail.weight)
    torch.nn.init.normal_(net.tail.bias)
    light = torch.rand(1, 1, 13, 18)
    fine = net.head(light)
    middle = net.down[0](fine)
    x = net.down[1](middle)
    for up, skip in zip(net.up, (middle, fine), strict=True):
        x = interpolate(up(x), skip.shape[-2:], mode="bilinear") + skip
    want = light * (4 * torch.tanh(net.tail(x) / 4)).exp()
    torch.testing.assert_close(net(light)[0], want)
