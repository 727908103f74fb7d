import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d, instance_norm, pad, relu
from unfold_devudp import DEvUDP
from unfold_devudp.presets import devudp_dt, devudp_small

import unfold
from unfold.testing import checks

SMALL = {
    "devudp-small": devudp_small,
    "small dt": lambda: devudp_small(normalization="batch", shortcut=True),
    "small, plain": lambda: devudp_small(normalization="none", shortcut=True),
}


def gather():
    for title, make in SMALL.items():
        name = title if title == "devudp-small" else None
        for check in checks("models", make, name=name):
            yield pytest.param(check, id=f"{title}-{check}")
    for name, make in (("devudp", DEvUDP), ("devudp-dt", devudp_dt)):
        for check in checks("models", make, name=name):
            if str(check) in ("spec", "explain"):  # the small ones stand for the rest
                yield pytest.param(check, id=f"{name}-{check}")


@pytest.mark.parametrize("check", list(gather()))
def test_conformance(check):
    check()


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("devudp", {}, 6_949_251),
        ("devudp-dt", {}, 6_957_699),
        ("devudp-dt", {"normalization": "none"}, 6_953_475),
        ("devudp-small", {}, 244_323),
    ],
)
def test_parameters(name, options, parameters):
    model = unfold.create_model(name, **options)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert f"{parameters:,}" in model.explain()


def test_the_generator_is_its_equations():
    """A plain evaluation, weights taken in the order in which the layers act."""
    model = devudp_small().double()
    x = torch.rand(2, 3, 16, 20, dtype=torch.float64)
    w = dict(model.generator.named_parameters())

    def conv(x, name, **options):
        return instance_norm(conv2d(x, w[name], **options))

    def block(x, name):
        y = relu(conv(x, f"{name}.0.body.0.weight", padding=1))
        return x + conv(y, f"{name}.0.body.3.weight", padding=1)

    def mirrored(x):
        return pad(x, (3, 3, 3, 3), mode="reflect")

    def up(x, name):
        options = {"stride": 2, "padding": 1, "output_padding": 1}
        return relu(instance_norm(conv_transpose2d(x, w[name], **options)))

    one = block(relu(conv(mirrored(2 * x - 1), "head.0.weight")), "head.3")
    two = block(relu(conv(one, "down.0.0.weight", stride=2, padding=1)), "down.0.3")
    three = block(relu(conv(two, "down.1.0.weight", stride=2, padding=1)), "down.1.3")
    three = block(three, "middle")
    two = block(up(three, "up.0.0.weight") + two, "refine.0")
    one = block(up(two, "up.1.0.weight") + one, "refine.1")
    out = torch.tanh(conv2d(mirrored(one), w["tail.weight"], w["tail.bias"]))
    torch.testing.assert_close(model(x).image, (out + 1) / 2)


def test_instance_normalization_divides_exposure_out():
    """Why it enhances: G hardly sees the photo's brightness and contrast; DT does."""
    photo = torch.tensor(astronaut()[:96, 200:296]).permute(2, 0, 1)[None].float() / 255
    dark = 0.4 * photo + 0.05
    with torch.no_grad():
        enhancing, faithful = devudp_small().eval(), SMALL["small dt"]().eval()
        a, b = (enhancing.generator.head(2 * x - 1) for x in (photo, dark))
        torch.testing.assert_close(a, b, rtol=0, atol=0.02)
        a, b = (faithful.generator.head(2 * x - 1) for x in (photo, dark))
        assert (a - b).abs().max() > 0.2


@pytest.mark.parametrize("make", [devudp_dt, SMALL["small dt"], SMALL["small, plain"]])
def test_with_a_shortcut_it_starts_as_the_identity(make):
    photo = torch.rand(1, 3, 13, 22)
    restoration = make().eval()(photo)
    torch.testing.assert_close(restoration.image, photo)
    assert restoration.parts["change"].abs().max() < 1e-6


def test_the_sum_is_clipped_and_its_gradient_is_not():
    model = SMALL["small, plain"]()
    nn.init.constant_(model.generator.tail.bias, 9.0)
    image = model(torch.rand(1, 3, 8, 8)).image
    assert (image == 1).all()
    image.sum().backward()
    assert (model.generator.tail.bias.grad > 0).all()


@given(
    batch=st.integers(1, 2),
    size=st.tuples(st.integers(1, 33), st.integers(1, 33)),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=15, deadline=None)
def test_any_size_and_type(batch, size, dtype):
    photo = torch.rand(batch, 3, *size, dtype=dtype)
    with torch.no_grad():
        restoration = devudp_small().to(dtype)(photo)
    assert restoration.image.shape == restoration.parts["change"].shape == photo.shape
    assert restoration.image.dtype == dtype
    torch.testing.assert_close(restoration.parts["change"], restoration.image - photo)


def test_sizes_that_need_no_padding_get_none():
    model = devudp_small().eval()
    photo = torch.rand(1, 3, 12, 16)
    padded = pad(photo, (0, 4, 0, 4), mode="replicate")
    with torch.no_grad():
        assert not torch.allclose(model(photo).image, model(padded).image[..., :12, :16])
        ragged = photo[..., :11, :13]
        whole = pad(ragged, (0, 3, 0, 1), mode="replicate")
        torch.testing.assert_close(model(ragged).image, model(whole).image[..., :11, :13])


@pytest.mark.parametrize("options", [{"widths": ()}, {"widths": (8, 0)}, {"blocks": 0}])
def test_refuses_no_network(options):
    with pytest.raises(ValueError, match="needs at least one width"):
        DEvUDP(**options)
