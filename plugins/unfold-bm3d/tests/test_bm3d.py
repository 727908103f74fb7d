import importlib
import sys

import numpy as np
import pytest
import torch

bm3d = pytest.importorskip("bm3d")

from unfold_bm3d import BM3D  # noqa: E402

from unfold.errors import GradientError  # noqa: E402
from unfold.testing import checks  # noqa: E402


def make():
    return BM3D(profile="lc")  # three times as fast


@pytest.fixture
def coarse(monkeypatch):
    """A coarse grid of the noise's spectrum: on the usual one bm3d spends half a second a call."""
    monkeypatch.setattr(bm3d.BM3DProfile, "nf", 4)
    monkeypatch.setattr(bm3d.BM3DProfileLC, "nf", 4)


@pytest.mark.parametrize("check", checks("priors", make, name="bm3d"), ids=str)
def test_conformance(check, coarse):
    check()


def scene(channels, size=32):
    """Bars and discs in [0, 1], and its noisy version at σ = 0.1: ``(1, channels, size, size)``."""
    torch.manual_seed(0)
    y, x = torch.meshgrid(*[torch.arange(size, dtype=torch.float64)] * 2, indexing="ij")
    bars = 0.3 + 0.4 * (torch.div(x, 8, rounding_mode="floor") % 2)
    disc = ((x - 15) ** 2 + (y - 15) ** 2 < 100).double()
    clean = torch.stack([bars, bars * (1 - 0.5 * disc), 0.2 + 0.6 * disc])[None, :channels]
    return clean, clean + 0.1 * torch.randn_like(clean)


def variance(sigma):
    return torch.as_tensor(sigma, dtype=torch.float64).square().reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_step_is_the_variance(channels):
    """It is bm3d at σ = sqrt(step), and best where that is the noise's."""
    clean, noisy = scene(channels)
    settings = bm3d.BM3DProfileLC()
    settings.num_threads = 1
    image = noisy[0].permute(1, 2, 0).numpy()
    if channels == 3:
        expected = bm3d.bm3d_rgb(image, 0.1, settings)
    else:
        expected = bm3d.bm3d(image[..., 0], 0.1, settings)[..., None]
    prior = make()
    x = prior.prox(noisy, variance(0.1))
    np.testing.assert_allclose(x[0].permute(1, 2, 0).numpy(), expected, atol=1e-5)

    def error(sigma):
        return (prior.prox(noisy, variance(sigma)) - clean).square().mean()

    best = (x - clean).square().mean()
    assert best < 0.25 * (noisy - clean).square().mean()
    assert best < 0.35 * error(0.05)
    assert best < 0.8 * error(0.4)


def test_each_image_has_its_own_step(coarse):
    _, noisy = scene(1)
    prior = make()
    both = prior.prox(torch.cat((noisy, noisy)), variance([0.05, 0.2]))
    for i, sigma in enumerate((0.05, 0.2)):
        assert torch.equal(both[i : i + 1], prior.prox(noisy, variance(sigma)))


def test_a_gray_image_in_three_channels_is_filtered_as_gray(coarse):
    """Where bm3d_rgb returns NaN. Its intensity is that of one channel, with a third of the
    variance."""
    _, noisy = scene(1)
    prior = make()
    x = prior.prox(noisy.expand(1, 3, -1, -1), variance(0.1))
    expected = prior.prox(noisy, variance(0.1 / 3**0.5)).expand(1, 3, -1, -1)
    torch.testing.assert_close(x, expected, atol=1e-4, rtol=0)


def test_a_constant_image_stays(coarse):
    v = torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1).expand(1, 3, 16, 16)
    torch.testing.assert_close(make().prox(v, torch.full((1, 1, 1, 1), 0.01)), v)


def test_colors_at_constant_intensity(coarse):
    """Where bm3d matches no blocks: each channel is filtered for itself."""
    _, noisy = scene(1)
    difference = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64).view(1, 3, 1, 1)
    prior = make()
    x = prior.prox(0.5 + difference * noisy, variance(0.1))
    # Red against blue has half the variance of a channel.
    expected = 0.5 + difference * prior.prox(noisy, variance(0.1 / 2**0.5))
    torch.testing.assert_close(x, expected, atol=1e-4, rtol=0)


def test_gradients_are_refused(coarse):
    v, step = torch.rand(1, 1, 16, 16), torch.full((1, 1, 1, 1), 0.01)
    with pytest.raises(GradientError, match=r"passes no gradients, but v requires grad: .*no_grad"):
        make().prox(v.requires_grad_(), step)
    with pytest.raises(GradientError, match="but step requires grad"):
        make().prox(v.detach(), step.requires_grad_())
    with torch.no_grad():
        assert make().prox(v, step).isfinite().all()


@pytest.mark.parametrize(
    ("v", "step", "message"),
    [
        ((1, 1, 16, 16), (1, 1, 16, 16), r"takes one step .* got a map, \(1, 1, 16, 16\)"),
        ((1, 2, 16, 16), (1, 1, 1, 1), "gray and RGB images, got 2 channels"),
        ((1, 1, 8, 8), (1, 1, 1, 1), "must be larger on both sides, got 8×8"),
    ],
)
def test_what_it_cannot_take(v, step, message):
    with pytest.raises(ValueError, match=message):
        make().prox(torch.rand(v), torch.rand(step))


def test_bm3d_is_imported_only_when_a_prior_is_built(monkeypatch):
    for name in [n for n in sys.modules if n.partition(".")[0] == "unfold_bm3d"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "bm3d", None)  # importing it fails from here on
    plugin = importlib.import_module("unfold_bm3d")
    with pytest.raises(ImportError):
        plugin.BM3D()
