"""Exposure from the brightest part of a photo, and what jude-small does with it."""

import numpy as np
import pytest
import torch

import unfold
from unfold.estimators import IlluminationEnhancer
from unfold.models.exposure import exposure_gain


@pytest.fixture(scope="module")
def photo():
    data = pytest.importorskip("skimage.data")
    return torch.from_numpy(data.coffee()).float().permute(2, 0, 1)[None] / 255


def white(image):
    """The brightest half percent begins here; by NumPy."""
    values = np.sort(image.amax(1).flatten(1).numpy(), 1)
    return values[:, int(0.995 * values.shape[1]) - 1]


def test_dark_photos_are_brought_to_white_and_bright_ones_stay(photo):
    assert white(photo) > 0.9
    batch = torch.cat([photo, 0.5 * photo, 0.1 * photo])
    gain = exposure_gain(batch)
    assert gain.shape == (3, 1, 1, 1)
    assert gain[0] == 1
    np.testing.assert_allclose(white(batch[1:] * gain[1:]), 0.95, rtol=1e-5)


def test_between_the_bounds_the_gain_fades():
    images = [torch.full((1, 3, 8, 8), w) for w in (0.65, 0.7, 0.775, 0.85, 0.9, 1.0)]
    gains = [exposure_gain(image).item() for image in images]
    assert gains[0] == pytest.approx(0.95 / 0.65)
    assert gains[2] == pytest.approx((0.95 / 0.775) ** 0.5)
    assert gains == sorted(gains, reverse=True)
    assert gains[-2:] == [1, 1]
    assert exposure_gain(torch.zeros(1, 3, 4, 4)) == 12


def test_a_large_photo_is_looked_at_here_and_there(photo):
    large = 0.3 * photo.repeat(1, 1, 5, 4)  # 4.8 million pixels
    torch.testing.assert_close(exposure_gain(large), exposure_gain(0.3 * photo), rtol=0.02, atol=0)


@torch.inference_mode()
def test_untrained_jude_small_exposes_and_no_more(photo):
    model = unfold.create_model("jude-small").eval()
    small = torch.nn.functional.avg_pool2d(photo, 4)

    def error(image, want):
        return (model(image).image - want).square().mean().sqrt()

    assert error(small, small) < 0.02  # an identity, but for the kernel that is nearly a point
    assert error(0.25 * small, small) < 0.03


@torch.inference_mode()
def test_a_part_is_exposed_as_the_whole(photo):
    model = unfold.create_model("jude-small").eval()
    half = 0.6 * torch.nn.functional.avg_pool2d(photo, 4)
    whole = torch.cat([half, 0.5 * half], -1)
    dark = 0.5 * half
    assert exposure_gain(dark) > 1.2 * exposure_gain(whole)
    found = model(dark, guide=model.survey(whole)).parts["I"]
    # (Untrained, I is the exposed photo, nearly.)
    assert (found - dark * exposure_gain(whole)).abs().mean() < 0.02
    assert (model(dark).parts["I"] - dark * exposure_gain(dark)).abs().mean() < 0.02
    kernel = torch.ones(1, 1, 1, 1)
    assert set(model.survey(whole, kernel=kernel)) == {"exposure"}


def test_a_pooled_enhancer_sees_the_whole_photo():
    """What is far away changes the gain here, and without pooling it does not."""
    torch.manual_seed(0)
    light = torch.rand(1, 3, 64, 64)
    other = light.clone()
    other[..., 56:] = 0
    for pooled in (True, False):
        enhancer = IlluminationEnhancer(widths=(4, 8), pooled=pooled)
        torch.nn.init.normal_(enhancer.tail.weight)
        same = torch.equal(enhancer(light)[..., :8], enhancer(other)[..., :8])
        assert same is not pooled
