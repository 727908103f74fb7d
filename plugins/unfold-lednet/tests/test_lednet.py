import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from unfold_lednet import LEDNet, lednet_small
from unfold_lednet.blocks import BlurPool, Curve, Up
from unfold_lednet.padding import reflect_to_multiple

from unfold.testing import checks

SIDE = {"gradients-flow": "the side output has a loss of its own, and no part in the image"}
ABLATIONS = [{"ppm": False}, {"curve_nlu": False}, {"fusion": "concatenation"}]


@pytest.mark.parametrize(
    "check",
    checks("models", lednet_small, name="lednet-small", expected_failures=SIDE),
    ids=str,
)
def test_small(check):
    check()


@pytest.mark.parametrize("options", [{}, *ABLATIONS], ids=str)
def test_gradients_reach_everything_but_the_side_output(options):
    model = lednet_small(side_output=False, **options)
    (check,) = (c for c in checks("models", lambda: model) if c.name == "gradients-flow")
    check()


def test_the_side_output_learns_by_its_own_loss():
    model = lednet_small()
    model(torch.rand(1, 3, 16, 16)).parts["enhanced"].sum().backward()
    assert model.side.weight.grad.any()
    assert model.head[0].weight.grad.any()
    assert model.tail[2].weight.grad is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "check", checks("models", LEDNet, name="lednet", expected_failures=SIDE), ids=str
)
def test_full_size(check):
    check()


def test_parameters():
    count = lambda **options: sum(p.numel() for p in LEDNet(**options).parameters())  # noqa: E731
    assert count() == 7_408_893
    assert count() - count(side_output=False) == 128 * 3 * 9 + 3
    for ablation in ABLATIONS:
        assert count(**ablation) < 7_408_893


@torch.no_grad()
def test_parts():
    model = lednet_small().eval()
    parts = model(torch.rand(2, 3, 20, 33)).parts
    shapes = {name: tuple(part.shape) for name, part in parts.items()}
    assert shapes.pop("enhanced") == (2, 3, 3, 5)
    for n in (1, 2, 3):
        size = (24 >> n, 40 >> n)
        assert shapes.pop(f"curves_{n}") == (2, 3, *size)
        assert shapes.pop(f"filters_{n}") == (2, 1, *size)
        assert 0 < parts[f"curves_{n}"].min() <= parts[f"curves_{n}"].max() < 1
        assert parts[f"filters_{n}"].min() > 0
    assert not shapes
    bare = lednet_small(curve_nlu=False, fusion="concatenation", side_output=False)
    assert not bare(torch.rand(1, 3, 8, 8)).parts


@torch.no_grad()
def test_the_filters_are_those_of_the_parts():
    """Twice the last layer, twice the norms."""
    model, photo = lednet_small().eval(), torch.rand(1, 3, 16, 16)
    before = model(photo).parts["filters_3"]
    last = model.decoder[0].fuse.predict[-1]
    last.weight *= 2
    last.bias *= 2
    torch.testing.assert_close(model(photo).parts["filters_3"], 2 * before)


def test_gradients_pass_the_clipping():
    model = lednet_small()
    with torch.no_grad():
        model.tail[2].bias -= 5  # all black
    image = model(torch.rand(1, 3, 16, 16)).image
    assert not image.any()
    image.sum().backward()
    assert model.tail[2].bias.grad.all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"range": (1, 0)}, r"range=\(1, 0\).*less than"),
        ({"widths": (8, 15, 32, 32)}, r"widths=.*multiples of 4"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        LEDNet(**options)


def test_explain():
    text = LEDNet().explain()
    assert "7,408,893 parameters" in text
    assert "no Lagrangian" in text
    text = lednet_small(ppm=False, curve_nlu=False, fusion="concatenation").explain()
    assert "pyramid" not in text
    assert "no curves" in text
    assert "concatenation" in text


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 8))
@settings(deadline=None)
def test_reflection(height, width, multiple):
    x = torch.rand(2, 3, height, width)
    missing = [(0, 0), (0, 0), (0, -height % multiple), (0, -width % multiple)]
    expected = np.pad(x.numpy(), missing, mode="reflect")
    assert torch.equal(reflect_to_multiple(x, multiple), torch.from_numpy(expected))


def test_blur_pool_against_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    x = torch.rand(1, 2, 7, 10, dtype=torch.float64)
    line = np.array([1, 2, 1]) / 4
    expected = x[0].numpy()
    for axis in (1, 2):
        expected = ndimage.correlate1d(expected, line, axis=axis, mode="mirror")
    np.testing.assert_allclose(BlurPool()(x)[0].numpy(), expected[:, ::2, ::2], atol=1e-12)


@torch.no_grad()
def test_up_in_the_papers_order():
    up, x = Up(4, 3).double(), torch.rand(1, 4, 5, 6, dtype=torch.float64)
    large = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(up(x) - up.main(x), up.skip(large), rtol=0, atol=1e-12)


@torch.no_grad()
def test_curves():
    curve, x = Curve(4).double(), 2 * torch.rand(1, 4, 6, 5, dtype=torch.float64)
    got, maps = curve(x)
    expected = x.clamp(0, 1)
    assert torch.equal(maps, torch.sigmoid(curve.predict(x)))  # of x as it came
    for n in range(3):
        expected = expected + maps[:, n : n + 1] * expected * (1 - expected)
    torch.testing.assert_close(got, expected)
    assert (got >= x.clamp(0, 1)).all()
    assert got.max() <= 1


PEAK = """
import resource, torch, unfold
model = unfold.create_model("lednet").eval()
with torch.inference_mode():
    image = model(torch.rand(1, 3, 720, 1280)).image
assert image.shape == (1, 3, 720, 1280)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_at_720p():
    """All of the process, PyTorch included."""
    unit = 1 if sys.platform == "darwin" else 1024
    done = subprocess.run([sys.executable, "-c", PEAK], check=True, capture_output=True, text=True)
    assert int(done.stdout) * unit < 2.5e9
