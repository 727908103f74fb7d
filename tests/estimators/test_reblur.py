"""Where a photo was blurred by a kernel: told from photos whose blur is known."""

import pytest
import torch
from skimage import data

from unfold.degradation import blur, motion_kernel
from unfold.estimators.reblur import as_bright_as, reblur_share

NOISE = 0.01


def photo(load):
    return torch.from_numpy(load()[:400, :400].copy()).permute(2, 0, 1)[None].float() / 255


def shaken(image, kernel, seed=0):
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return blur(image, kernel) + NOISE * noise


def kernel(seed):
    return motion_kernel(21, extent=9.0, generator=torch.Generator().manual_seed(seed))


def share(image, used):
    return reblur_share(image, used, torch.full((1, 1, 1, 1), NOISE))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("load", [data.astronaut, data.coffee, data.chelsea])
def test_the_kernel_of_the_blur_is_believed_and_others_are_not(load, seed):
    image = shaken(photo(load), kernel(seed))
    assert share(image, kernel(seed)).min() > 0.99
    assert share(photo(load), kernel(seed)).mean() < 0.8  # nothing was shaken
    if seed == 3 and load is not data.chelsea:  # (fur out of focus: little to tell by)
        assert share(image, kernel(seed).mT).mean() < 0.8


def test_what_stood_still_is_not_believed():
    sharp, used = photo(data.astronaut), kernel(1)
    image = shaken(sharp, used)
    image[..., 100:250, 150:300] = sharp[..., 100:250, 150:300]
    found = share(image, used)
    assert found[..., 140:210, 190:260].mean() < 0.1
    assert found[..., 310:, :].mean() > 0.95


def test_a_lamp_that_is_clipped_is_not_believed():
    sharp, used = 0.4 * photo(data.astronaut), kernel(2)
    sharp[..., 200:206, 200:206] = 20.0
    found = share(shaken(sharp, used).clamp(0, 1), used)
    assert found[..., 195:211, 195:211].mean() < 0.2
    assert found[..., :120, :120].mean() > 0.95


def test_of_a_point_all_is_believed_and_each_photo_is_judged_alone():
    sharp = photo(data.coffee)
    point = torch.zeros(1, 1, 5, 5)
    point[..., 2, 2] = 1
    assert (share(sharp, point) == 1).all()
    pair = torch.cat([shaken(sharp, kernel(3)), sharp])
    both = reblur_share(pair, kernel(3), torch.full((2, 1, 1, 1), NOISE))
    assert both.shape == (2, 1, 400, 400)
    torch.testing.assert_close(both[1:], share(sharp, kernel(3)))
    assert both[0].mean() > 0.95 > 0.4 > both[1].mean()


def test_a_photo_is_made_as_bright_as_another():
    dark = 0.2 * photo(data.coffee)
    torch.testing.assert_close(as_bright_as(dark, 3 * dark), 3 * dark)
    assert torch.equal(as_bright_as(0 * dark, dark), 0 * dark)
