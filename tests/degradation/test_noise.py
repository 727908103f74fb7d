"""Noise by its statistics, the camera by its inverse, and JPEG."""

import numpy as np
import pytest
import scipy.stats
import skimage.data
import torch
from PIL import Image

from unfold.degradation.jpeg import JPEG
from unfold.degradation.noise import GaussianNoise, RawNoise, add_noise
from unfold.degradation.raw import Camera, bayer, demosaic
from unfold.imaging import read


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def photo(name):
    array = getattr(skimage.data, name)()
    return torch.as_tensor(array / 255).permute(2, 0, 1)[None]


def psnr(a, b):
    return -10 * (a - b).square().mean().log10().item()


def camera(parameters):
    one = torch.ones_like(parameters["gain"])
    balance = torch.stack((parameters["red_gain"], one, parameters["blue_gain"]), 1)
    return Camera.blend(parameters["camera"], parameters["gain"][:, None] * balance)


def quiet(parameters, shot=0.0, read=0.0):
    one = torch.ones_like(parameters["shot"])
    return parameters | {"shot": shot * one, "read": read * one}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "off"), [("chelsea", 1e-12), ("rocket", 0.1)])
def test_developing_undoes_unprocessing_but_where_the_photo_is_saturated(name, off, seed):
    x = photo(name)
    model = camera(RawNoise().sample(1, seeded(seed)))
    back = model.develop(model.unprocess(x) * model.gains)
    assert (back - x).abs().max() < off
    inside = x.amax(1) < 0.9
    assert (back - x).abs().amax(1)[inside].max() < 1e-9


def test_unprocessing_follows_the_paper_in_a_gray_of_a_known_camera():
    """By hand: tone curve by bisection, gamma, white stays white, gains."""
    gray = 0.62
    model = Camera(torch.eye(3)[None].double(), torch.tensor([2.5, 1.25, 2.0]).view(1, 3, 1, 1))
    encoded = scipy.optimize.brentq(lambda t: 3 * t**2 - 2 * t**3 - gray, 0, 1)
    raw = model.unprocess(torch.full((1, 3, 1, 1), gray).double()).flatten()
    np.testing.assert_allclose(raw, encoded**2.2 / np.array([2.5, 1.25, 2.0]), rtol=1e-7)
    white = model.unprocess(torch.ones(1, 3, 1, 1).double())
    torch.testing.assert_close(white, torch.ones_like(white))  # where the sensor was full


def test_colors_of_every_camera_keep_white():
    weights = torch.rand(5, 4).double()
    colors = Camera.blend(weights, torch.ones(5, 3).double()).colors
    torch.testing.assert_close(colors.sum(2), torch.ones(5, 3).double())
    assert torch.linalg.det(colors).min() > 0.1


def test_demosaicking_is_the_papers_formula():
    """Malvar et al., equations 2 to 7, written for one pixel at a time."""
    m = torch.rand(1, 1, 12, 14, dtype=torch.float64)
    got, z = demosaic(m)[0], m[0, 0].numpy()
    for i in range(2, 10):
        for j in range(2, 12):
            here = z[i, j]
            cross = (z[i - 1, j] + z[i + 1, j] + z[i, j - 1] + z[i, j + 1]) / 4
            far = (z[i - 2, j] + z[i + 2, j] + z[i, j - 2] + z[i, j + 2]) / 4
            corners = (z[i - 1, j - 1] + z[i - 1, j + 1] + z[i + 1, j - 1] + z[i + 1, j + 1]) / 4
            if i % 2 == j % 2:  # red or blue: green, and the opposite color
                green, opposite = cross + (here - far) / 2, corners + 3 / 4 * (here - far)
                want = [here, green, opposite] if i % 2 == 0 else [opposite, green, here]
            else:
                beside = (z[i, j - 1] + z[i, j + 1]) / 2
                above = (z[i - 1, j] + z[i + 1, j]) / 2
                row_far = (z[i, j - 2] + z[i, j + 2]) / 2
                column_far = (z[i - 2, j] + z[i + 2, j]) / 2
                fixed = [
                    value + 5 / 8 * (here - (4 * corners + 2 * same - other) / 5)
                    for value, same, other in (
                        (beside, row_far, column_far),
                        (above, column_far, row_far),
                    )
                ]
                row, column = fixed if i % 2 == 0 else fixed[::-1]
                want = [row, here, column]
            np.testing.assert_allclose(got[:, i, j].numpy(), want, atol=1e-12)


@pytest.mark.parametrize("size", [(2, 2), (2, 3), (3, 2), (5, 7), (8, 8)])
def test_demosaicking_keeps_what_was_seen_and_even_grays(size):
    m = torch.rand(1, 1, *size, dtype=torch.float64)
    torch.testing.assert_close((demosaic(m) * bayer(m)).sum(1, keepdim=True), m)
    gray = torch.full_like(m, 0.3)
    torch.testing.assert_close(demosaic(gray), gray.expand(1, 3, *size))


@pytest.mark.parametrize(("name", "least"), [("chelsea", 35), ("astronaut", 31), ("coffee", 29)])
def test_without_noise_only_the_mosaic_costs(name, least):
    x = photo(name)
    parameters = quiet(RawNoise().sample(1, seeded(0)))
    assert psnr(RawNoise().apply(x, parameters), x) > least
    # Of a photo without detail at the scale of pixels it costs next to nothing.
    smooth = torch.nn.functional.interpolate(x[..., ::8, ::8], scale_factor=8, mode="bicubic")
    smooth = smooth.clamp(0, 1)[..., 8:-8, 8:-8]
    assert psnr(RawNoise().apply(smooth, parameters), smooth) > 48


def test_noise_levels_are_drawn_as_published():
    drawn = RawNoise().sample(3000, seeded(5))
    log_shot = drawn["shot"].log10().numpy()
    even = scipy.stats.uniform(-4, np.log10(0.012) + 4)
    assert scipy.stats.kstest(log_shot, even.cdf).pvalue > 0.01
    rest = (drawn["read"].log10().numpy() - 2.18 * log_shot - 1.20) / 0.26
    assert scipy.stats.kstest(rest, "norm").pvalue > 0.01
    brightness = (1 / drawn["gain"].numpy() - 0.8) / 0.1
    assert scipy.stats.kstest(brightness, "norm").pvalue > 0.01
    for name, low, high in (("red_gain", 1.9, 2.4), ("blue_gain", 1.5, 1.9)):
        even = scipy.stats.uniform(low, high - low)
        assert scipy.stats.kstest(drawn[name].numpy(), even.cdf).pvalue > 0.01


def test_variance_grows_with_the_signal_by_shot_from_read():
    """The line fitted to variance against signal; 40,000 pixels a level are good to 1 %."""
    shot, read_noise = 0.01, 5e-4
    levels = torch.linspace(0, 0.9, 10, dtype=torch.float64)
    raw = levels.view(-1, 1, 1, 1).expand(10, 1, 200, 200)
    parameters = {
        "shot": torch.full((10,), shot).double(),
        "read": torch.full((10,), read_noise).double(),
        "seed": torch.arange(10),
    }
    noise = add_noise(raw, parameters) - raw
    np.testing.assert_allclose(noise.mean((1, 2, 3)), 0, atol=4 * 0.1 / 200)
    slope, intercept = np.polyfit(levels.numpy(), noise.var((1, 2, 3)).numpy(), 1)
    assert slope == pytest.approx(shot, rel=0.03)
    assert intercept == pytest.approx(read_noise, rel=0.1)
    assert scipy.stats.kstest((noise[3] / noise[3].std()).flatten(), "norm").pvalue > 0.01
    neighbors = np.corrcoef(noise[3, 0, :, 1:].flatten(), noise[3, 0, :, :-1].flatten())[0, 1]
    assert abs(neighbors) < 4 / 200


@pytest.mark.parametrize("gray", [0.1, 0.3, 0.6])
def test_the_noise_in_the_developed_photo_is_that_of_the_sensor(gray):
    """Taken back to the sensor, every pixel holds in its color the noise that was put there."""
    drawn = RawNoise().sample(1, seeded(2))
    parameters = quiet(drawn, shot=1e-4, read=1e-7)
    x = torch.full((1, 3, 160, 160), gray).double()
    model = camera(drawn)
    clean = model.unprocess(x)
    noisy = model.unprocess(RawNoise().apply(x, parameters))
    for channel in range(3):
        level = clean[0, channel, 0, 0].item()
        seen = noisy[0, channel][bayer(noisy)[channel] > 0]
        assert seen.mean().item() == pytest.approx(level, rel=0.01)
        assert seen.var().item() == pytest.approx(1e-4 * level + 1e-7, rel=0.08)


def test_gaussian_noise_has_the_sigma_asked_for_in_every_photo_and_channel():
    x = torch.rand(3, 3, 100, 100, dtype=torch.float64)
    sigma = torch.tensor([0.0, 0.02, 0.3]).double()
    noise = GaussianNoise().apply(x, {"sigma": sigma, "seed": torch.arange(3)}) - x
    torch.testing.assert_close(
        noise.std((2, 3)), sigma[:, None].expand(3, 3), rtol=0.03, atol=1e-12
    )
    assert scipy.stats.kstest((noise[2] / 0.3).flatten(), "norm").pvalue > 0.01
    channels = np.corrcoef(noise[2].flatten(1).numpy()) - np.eye(3)
    assert abs(channels).max() < 0.04


@pytest.mark.parametrize("quality", [10, 50, 95])
def test_jpeg_is_what_a_file_would_have_done(tmp_path, quality):
    array = skimage.data.chelsea()[:75, :101]
    Image.fromarray(array).save(tmp_path / "x.jpg", quality=quality, subsampling="4:2:0")
    x = torch.as_tensor(array / 255).permute(2, 0, 1)[None]
    got = JPEG().apply(x, {"quality": torch.tensor([quality])})
    want = read(tmp_path / "x.jpg").image  # by another decoder
    assert (got[0] - want.reshape(got[0].shape)).abs().max() <= 4.01 / 255
    torch.testing.assert_close(255 * got, (255 * got).round())


@pytest.mark.parametrize(("value", "level"), [(100.6, 101), (100.4, 100), (300.0, 255), (-9.0, 0)])
def test_jpeg_rounds_and_clips_to_8_bits(value, level):
    flat = torch.full((1, 3, 16, 16), value / 255).double()
    got = JPEG().apply(flat, {"quality": torch.tensor([100])})
    assert (255 * got).round().unique().tolist() == [level]


def test_jpeg_draws_both_ends_and_gets_better_with_quality():
    drawn = JPEG(quality=(30, 33)).sample(200, seeded(0))["quality"]
    assert drawn.unique().tolist() == [30, 31, 32, 33]
    x = photo("coffee")[..., :200, :200]
    found = [psnr(JPEG().apply(x, {"quality": torch.tensor([q])}), x) for q in (5, 30, 90)]
    assert found == sorted(found)
    assert found[2] > 34


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: JPEG(quality=(0, 50)), "within 1 to 100"),
        (lambda: RawNoise(shot=(0.0, 0.1)), "raw-noise: shot"),
        (lambda: GaussianNoise(sigma=(-0.1, 0.1)), "at least 0"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()
