"""Noise and JPEG's errors, measured on photos whose noise is known."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage import data
from torch.nn.functional import interpolate

import unfold
from unfold.degradation import JPEG, blur, motion_kernel
from unfold.estimators import PhotoNoise, estimate_noise
from unfold.estimators.compression import jpeg_noise, quantization_step
from unfold.estimators.noise import LEAST_NOISE, channel_noise, laplacian_noise, with_beyond
from unfold.estimators.reblur import noise_beyond

PHOTOS = [data.astronaut, data.chelsea, data.coffee, data.rocket]
# The standard table for luma, at the frequencies that are looked at.
STANDARD = {
    (0, 1): 11, (0, 2): 10, (0, 3): 16, (0, 4): 24, (1, 0): 12, (1, 1): 12, (1, 2): 14,
    (1, 3): 19, (2, 0): 14, (2, 1): 13, (2, 2): 16, (3, 0): 14, (3, 1): 17, (4, 0): 18,
}  # fmt: skip


def photo(load):
    return torch.from_numpy(load()).permute(2, 0, 1)[None].float() / 255


def noisy(image, sigma, seed=0):
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
    return image + sigma * noise


def saved(image, quality):
    """Through a JPEG file."""
    return JPEG().apply(image, {"quality": torch.tensor([quality])})


@pytest.mark.parametrize("load", PHOTOS)
@pytest.mark.parametrize("sigma", [0.01, 0.03, 0.1])
def test_texture_is_not_taken_for_noise(load, sigma):
    found = estimate_noise(noisy(photo(load), sigma)).item()
    own = 0.009  # at most, of the photos themselves
    assert 0.97 * sigma < found < 1.03 * math.hypot(sigma, own)


def test_it_is_told_for_each_photo_and_tells_little_of_little():
    two = torch.cat([photo(data.astronaut), noisy(photo(data.astronaut), 0.02)])
    both = estimate_noise(two)
    assert both.shape == (2, 1, 1, 1)
    torch.testing.assert_close(both, torch.cat([estimate_noise(one[None]) for one in two]))
    assert LEAST_NOISE <= both[0] < 0.008
    assert estimate_noise(torch.full((1, 3, 50, 50), 0.5)).item() == pytest.approx(LEAST_NOISE)


def test_noise_of_a_photo_made_smaller_is_what_is_left_of_it():
    sharp, bad = photo(data.coffee), noisy(photo(data.coffee), 0.03)
    small, smaller = (
        interpolate(x, scale_factor=0.5, mode="bicubic", antialias=True) for x in (sharp, bad)
    )
    left = (smaller - small).square().mean().sqrt().item()
    assert estimate_noise(smaller).item() == pytest.approx(left, rel=0.2)


@pytest.mark.parametrize("load", PHOTOS)
def test_the_noise_of_each_channel_after_white_balance(load):
    sharp = photo(load)
    kernel = motion_kernel(15, generator=torch.Generator().manual_seed(1))
    wanted = torch.tensor([0.02, 0.01, 0.014])
    noise = torch.randn(sharp.shape, generator=torch.Generator().manual_seed(2))
    bad = blur(sharp, kernel) + wanted.view(1, 3, 1, 1) * noise
    found = channel_noise(bad, estimate_noise(bad))
    torch.testing.assert_close(found.flatten(), wanted, rtol=0.25, atol=0)


@pytest.mark.parametrize("load", PHOTOS)
def test_the_texture_of_a_sharp_photo_is_noise_of_no_channel(load):
    image = noisy(photo(load), 0.02)
    found = channel_noise(image, estimate_noise(image))
    torch.testing.assert_close(found.flatten(), torch.full((3,), 0.02), rtol=0.4, atol=0)
    gray = image.mean(1, keepdim=True)
    assert torch.equal(channel_noise(gray, estimate_noise(gray)), estimate_noise(gray))


def test_gray_photos_small_ones_and_one_channel_have_the_median_of_laplacians():
    gray = noisy(photo(data.coffee).mean(1, keepdim=True), 0.02)
    for image in (gray, gray.expand(-1, 3, -1, -1), photo(data.coffee)[..., :20, :20]):
        assert torch.equal(estimate_noise(image), laplacian_noise(image))
    mixed = torch.cat([gray.expand(-1, 3, -1, -1), noisy(photo(data.coffee), 0.02)])
    assert torch.equal(estimate_noise(mixed)[0], laplacian_noise(mixed)[0])
    assert not torch.equal(estimate_noise(mixed)[1], laplacian_noise(mixed)[1])


@pytest.mark.parametrize("load", PHOTOS)
@pytest.mark.parametrize("quality", [95, 90, 80])
def test_the_step_of_a_jpeg_file_is_found(load, quality):
    """libjpeg scales the standard table by 2 − quality/50; steps below 2 leave no trace."""
    image = noisy(blur(photo(load), motion_kernel(15, generator=torch.Generator().manual_seed(1))),
                  0.005)  # fmt: skip
    scale = 200 - 2 * quality
    steps = sorted((step * scale + 50) // 100 for step in STANDARD.values())
    telling = [step for step in steps if step >= 2]
    found = quantization_step(saved(image, quality)).item()
    assert telling[0] <= found <= telling[-1]
    assert found == pytest.approx(telling[len(telling) // 2], abs=1.0)


@pytest.mark.parametrize("load", PHOTOS)
def test_photos_that_were_no_jpeg_file_have_no_step(load):
    image = noisy(photo(load), 0.005).clamp(0, 1)
    jpeg = saved(image, 90)
    shrunk = interpolate(jpeg, scale_factor=0.6, mode="bicubic", antialias=True)
    for other in (image, (255 * image).round() / 255, jpeg[..., 3:, 5:], shrunk, image[..., :6, :]):
        assert quantization_step(other).item() == 0
    assert quantization_step(jpeg).item() > 0


def test_the_model_is_told_both_together():
    jpeg = saved(noisy(photo(data.coffee), 0.005), 85)
    together = PhotoNoise()(jpeg).item()
    parts = estimate_noise(jpeg).item(), jpeg_noise(jpeg).item()
    assert together == pytest.approx((parts[0] ** 2 + parts[1] ** 2) ** 0.5)
    assert jpeg_noise(jpeg).item() == pytest.approx(0.8 * quantization_step(jpeg).item() / 255)


@given(st.floats(0.003, 0.1), st.floats(0, 0.1), st.just(0.0) | st.floats(1e-4, 1))
def test_what_a_kernel_tells_counts_where_it_is_more_and_is_bounded(grain, jpeg, beyond):
    values = (math.hypot(grain, jpeg), grain, beyond)
    noise, grain_, found = (torch.tensor(v).double().view(1, 1, 1, 1) for v in values)
    told, expected = (t.item() for t in with_beyond(noise, grain_, found))
    if noise > grain_ * (1 + 1e-6) and beyond > 0:
        assert expected == pytest.approx(min(max(noise.item(), beyond), 4 * noise.item()))
        assert told == pytest.approx(1.6 * expected)
    else:
        assert expected == noise
        assert told == pytest.approx(min(max(noise.item(), beyond), 2 * noise.item()))


@pytest.mark.parametrize("load", PHOTOS)
@pytest.mark.parametrize("sigma", [0.01, 0.03])
def test_the_frequencies_that_a_kernel_suppresses_tell_the_noise(load, sigma):
    kernel = motion_kernel(21, extent=9.0, generator=torch.Generator().manual_seed(3))
    blurred = blur(photo(load), kernel)
    found = noise_beyond(noisy(blurred, sigma), kernel).item()
    assert found == pytest.approx(sigma, rel=0.15)


def test_noise_that_jpeg_hides_is_found_with_the_kernel():
    kernel = motion_kernel(21, extent=9.0, generator=torch.Generator().manual_seed(3))
    bad = saved(noisy(blur(photo(data.coffee), kernel), 0.03).clamp(0, 1), 92)
    assert PhotoNoise()(bad).item() < 0.015
    model = unfold.create_model("tv-deblur", kernel_estimator=None)
    with torch.inference_mode():
        parts = model(bad, kernel=kernel).parts
    assert 0.015 < parts["residue"].item() < 0.03
    assert parts["noise"].item() == pytest.approx(1.6 * parts["residue"].item())
    assert parts["grain"].item() < 0.015


def test_a_point_and_a_small_photo_tell_no_noise():
    image = torch.rand(2, 3, 64, 64)
    assert noise_beyond(image, torch.ones(1, 1, 1, 1)).eq(0).all()
    assert noise_beyond(image[..., :50, :50], torch.full((1, 1, 3, 3), 1 / 9)).eq(0).all()
