"""The darkening curve against its formula; the component against what a host relies on."""

import copy

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from skimage.color import rgb2lab
from skimage.data import astronaut, rocket
from torch.nn.functional import conv2d, relu

from unfold.degradation.zero_dce import (
    DarkeningCurve,
    DCENet,
    ZeroDCEDarkening,
    kept,
    relative_lightness,
)
from unfold.registry.spec import spec_type


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Of an untrained network that reacts strongly to what it sees."""
    torch.manual_seed(3)
    curve = DarkeningCurve()
    with torch.no_grad():
        for parameter in curve.parameters():
            parameter.mul_(1.6 if parameter.ndim > 1 else 1)
        curve.network.tail.bias -= 0.2
    path = tmp_path_factory.mktemp("weights") / "curve.safetensors"
    save_file(curve.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def darkening(weights):
    return ZeroDCEDarkening(weights=weights)


def photo(picture, rows=slice(60, 140), columns=slice(180, 260)):
    crop = np.ascontiguousarray(picture[rows, columns])
    return torch.from_numpy(crop).permute(2, 0, 1)[None].double() / 255


def exposures(*values):
    return {"exposure": torch.tensor(values, dtype=torch.float64)}


def test_the_papers_network_has_the_papers_parameters():
    assert sum(p.numel() for p in DCENet().parameters()) == 79_416


def test_the_network_is_its_equations():
    net = DCENet(inputs=2, outputs=5, width=4).double()
    x = torch.rand(2, 2, 9, 13, dtype=torch.float64)
    w = list(net.parameters())

    def conv(i, *maps):
        return conv2d(torch.cat(maps, 1), w[2 * i], w[2 * i + 1], padding=1)

    f1 = relu(conv(0, x))
    f2 = relu(conv(1, f1))
    f3 = relu(conv(2, f2))
    f4 = relu(conv(3, f3))
    f5 = relu(conv(4, f3, f4))
    f6 = relu(conv(5, f2, f5))
    torch.testing.assert_close(net(x), torch.tanh(conv(6, f1, f6)))


@pytest.mark.parametrize("picture", [astronaut, rocket])
def test_lightness_is_scikit_images(picture):
    want = rgb2lab(picture()[:100])[..., 0] / 100
    image = torch.from_numpy(picture()[:100]).permute(2, 0, 1)[None].double() / 255
    np.testing.assert_allclose(relative_lightness(image)[0, 0].numpy(), want, atol=1e-5)


@given(x=st.floats(0, 0.97), r=st.floats(0, 1))
@settings(max_examples=200, deadline=None)
def test_kept_is_ten_rounds_of_the_curve(x, r):
    y = x
    for _ in range(10):
        y = y + r * (y * y - y)
    ratio = kept(*(torch.full((1, 1, 1, 1), v, dtype=torch.float64) for v in (x, r))).item()
    assert ratio * x == pytest.approx(y, abs=1e-12)


@pytest.mark.parametrize("r", [0.0, 0.1, 0.4, 1.0])
def test_the_curve_is_monotone_darkens_and_keeps_lights(r):
    x = torch.linspace(0, 1.5, 1501, dtype=torch.float64).view(1, 1, 1, -1)
    y = x * kept(x, torch.full_like(x, r))
    assert (y.diff() >= 0).all()
    assert (y <= x).all()
    assert (y >= 0).all()
    light = x > 0.97
    assert torch.equal(y[light], x[light])
    if r:
        assert (y < x)[~light][1:].all()  # all but black


@pytest.mark.parametrize("size", [(40, 31), (5, 1), (1, 1)])
def test_a_flat_photo_gets_no_frame(darkening, size):
    flat = torch.full((1, 3, *size), 0.6, dtype=torch.float64)
    dark = darkening.apply(flat, exposures(0.2))
    assert dark.std(correction=0) < 1e-12
    assert dark.mean() < 0.5


def test_the_network_sees_exactly_its_reach(weights):
    curve = ZeroDCEDarkening(weights=weights).curve.double()
    reach = curve.network.reach
    scene = torch.full((1, 1, 31, 31), 0.5, dtype=torch.float64)
    spot = scene.clone()
    spot[..., 15, 15] = 0.9
    wanted = torch.tensor([0.2])
    changed = (curve(spot, wanted)[1] != curve(scene, wanted)[1])[0, 0].nonzero()
    assert (changed - 15).abs().max() == reach


def test_the_exposure_is_seen(darkening):
    image = photo(astronaut())
    twice = darkening.apply(image.expand(2, -1, -1, -1), exposures(0.05, 0.3))
    assert (twice[0] - twice[1]).abs().max() > 1e-3


def test_hue_stays_and_lightness_follows_the_curve(darkening):
    image = photo(astronaut())
    dark = darkening.apply(image, exposures(0.1))
    before = relative_lightness(image)
    ratio, _ = copy.deepcopy(darkening.curve).double()(before, torch.tensor([0.1]))
    torch.testing.assert_close(dark, image * ratio)
    assert ratio.min() < 0.8
    assert (dark <= image).all()


def test_lights_stay(darkening):
    image = photo(astronaut())
    image[..., 10:20, 10:20] = 1.0
    image[..., 30:34, 30:34] = 4.0  # beyond what a file can hold
    dark = darkening.apply(image, exposures(0.1))
    assert torch.equal(dark[..., 10:20, 10:20], image[..., 10:20, 10:20])
    assert torch.equal(dark[..., 30:34, 30:34], image[..., 30:34, 30:34])
    assert torch.isfinite(dark).all()


def test_gradients_are_finite_at_black_and_at_lights():
    x = torch.tensor([0.0, 0.5, 1.0, 50.0]).view(1, 1, 1, -1).requires_grad_()
    rate = torch.full_like(x, 0.5).requires_grad_()
    (x * kept(x, rate)).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(rate.grad).all()
    assert rate.grad[..., 1] < 0


@given(
    batch=st.integers(1, 3),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=20, deadline=None)
def test_apply_is_pure_and_batched(darkening, batch, size, dtype):
    image = torch.rand(batch, 3, *size, dtype=dtype)
    original = image.clone()
    state = copy.deepcopy(darkening.curve.state_dict())
    parameters = darkening.sample(batch, torch.Generator().manual_seed(0))
    dark = darkening.apply(image, parameters)
    assert dark.shape == image.shape
    assert dark.dtype == dtype
    assert torch.equal(image, original)
    assert torch.equal(dark, darkening.apply(image, parameters))
    after = darkening.curve.state_dict()
    assert all(torch.equal(after[n], v) and after[n].dtype == v.dtype for n, v in state.items())
    for i in range(batch):
        one = darkening.apply(image[i : i + 1], {"exposure": parameters["exposure"][i : i + 1]})
        torch.testing.assert_close(one[0], dark[i])


def test_exposures_are_uniform_and_repeat(weights):
    darkening = ZeroDCEDarkening(weights=weights, exposure=(0.1, 0.2))
    drawn = darkening.sample(4000, torch.Generator().manual_seed(1))["exposure"]
    assert drawn.dtype == torch.float64
    assert scipy.stats.kstest(drawn.numpy(), scipy.stats.uniform(0.1, 0.1).cdf).pvalue > 0.01
    again, other = (darkening.sample(5, torch.Generator().manual_seed(s)) for s in (1, 2))
    assert torch.equal(
        again["exposure"], darkening.sample(5, torch.Generator().manual_seed(1))["exposure"]
    )
    assert not torch.equal(again["exposure"], other["exposure"])


@pytest.mark.parametrize("exposure", [(-0.1, 0.3), (0.3, 0.1), (0.1, 1.1)])
def test_refuses_a_range(weights, exposure):
    with pytest.raises(ValueError, match="zero-dce-darkening: exposure"):
        ZeroDCEDarkening(weights=weights, exposure=exposure)


def test_refuses_weights_in_one_line(tmp_path):
    text, other, small = (tmp_path / name for name in ("text", "other", "small"))
    text.write_text("no weights")
    save_file(DCENet().state_dict(), other)
    save_file({n: v[:1].clone() for n, v in DarkeningCurve().state_dict().items()}, small)
    cases = {
        tmp_path / "absent": "can be read",
        tmp_path: "can be read",
        text: "can be read",
        other: "another network",
        small: "another network",
    }
    for path, words in cases.items():
        with pytest.raises(ValueError, match=words) as caught:
            ZeroDCEDarkening(weights=path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_asks_for_weights():
    with pytest.raises(ValueError, match=r"examples/train_darkening\.py and give weights=FILE"):
        spec_type("degradations", "zero-dce-darkening")().build()


def test_by_name_with_a_spec_that_survives_json(weights):
    spec = spec_type("degradations", "zero-dce-darkening")
    given = spec(weights=weights, exposure=(0.1, 0.2))
    again = spec.model_validate_json(given.model_dump_json())
    assert again == given
    assert again.build().exposure == (0.1, 0.2)
