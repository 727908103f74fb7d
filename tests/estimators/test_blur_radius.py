"""The radius of the blur: its model of spectra, its smoothness, and discs that are known."""

import numpy as np
import pytest
import torch
from skimage.data import astronaut, chelsea, coffee

from unfold.degradation import blur
from unfold.degradation.kernels import SHAPES, aperture_kernels
from unfold.estimators import blur_radius as module
from unfold.estimators.blur_radius import blur_radius

NOISE = torch.full((1, 1, 1, 1), 2 / 255)
PHOTOS = {
    "astronaut": astronaut()[:160, 140:300],
    "chelsea": chelsea()[60:220, 100:260],
    "coffee": coffee()[100:260, 200:360],
}


def photo(name):
    return torch.tensor(PHOTOS[name]).permute(2, 0, 1)[None].float() / 255


def out_of_focus(sharp, radius):
    one = torch.ones(1, dtype=torch.float64)
    disc = torch.tensor([SHAPES.index("disc")])
    return blur(sharp, aperture_kernels(disc, radius * one, one, 0 * one, one).to(sharp))


def with_noise(image):
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return (image + NOISE * noise).clamp(0, 1)


def around_edges(radius, image):
    """The mean of a map, by the contrast that there is to tell it."""
    contrast = image.diff(dim=-1).abs().mean(1, keepdim=True)
    return float((radius[..., 1:] * contrast).sum() / contrast.sum())


@pytest.mark.parametrize(
    ("name", "radius"), [("astronaut", 1.5), ("chelsea", 2.5), ("coffee", 2.0), ("coffee", 4.0)]
)
def test_known_radii_are_found(name, radius):
    bad = with_noise(out_of_focus(photo(name), radius))
    assert abs(around_edges(blur_radius(bad, NOISE), bad) - radius) < 0.2 * radius + 0.1


@pytest.mark.parametrize("name", PHOTOS)
def test_a_sharp_photo_has_radius_zero(name):
    sharp = with_noise(photo(name))
    assert around_edges(blur_radius(sharp, NOISE), sharp) < 0.3


def test_it_varies_over_the_photo():
    sharp = photo("astronaut")
    bad = with_noise(torch.cat((sharp[..., :80], out_of_focus(sharp, 3.0)[..., 80:]), -1))
    radius = blur_radius(bad, NOISE)
    assert around_edges(radius[..., :64], bad[..., :64]) < 0.4
    assert 2.3 < around_edges(radius[..., 96:], bad[..., 96:]) < 3.5


def test_each_photo_of_a_batch_has_its_own():
    batch = torch.cat(
        [with_noise(out_of_focus(photo(n), r)) for n, r in zip(PHOTOS, (1.0, 2, 3), strict=True)]
    )
    noise = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1) / 255
    together = blur_radius(batch, noise)
    for i in range(3):
        alone = blur_radius(batch[i : i + 1], noise[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, atol=2e-3, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (31, 90), (32, 33), (45, 70)])
def test_any_size(size):
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    radius = blur_radius(image, NOISE)
    assert radius.shape == (2, 1, *size)
    assert radius.isfinite().all()
    assert 0 <= radius.min() <= radius.max() <= 7
    assert min(size) >= 32 or not radius.any()  # too small to tell any


def test_the_expected_power_is_the_mean_power_of_windows():
    """Of random fields whose spectrum is known, blurred by a disc."""
    radius, slope, n = 2.5, 2.0, 512
    f = torch.fft.fftfreq(n, dtype=torch.float64)
    square = f[:, None] ** 2 + f**2
    kernel = torch.zeros(n, n, dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    disc = aperture_kernels(torch.tensor([0]), radius * one, one, 0 * one, one)[0, 0]
    kernel[: len(disc), : len(disc)] = disc
    soft = torch.exp(-2 * (torch.pi * module._SOFTNESS) ** 2 * square)
    amplitude = (square + (0.5 / 32) ** 2) ** (-slope / 4) * torch.fft.fft2(kernel).abs() * soft
    fields = torch.randn(6, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    fields = torch.fft.ifft2(torch.fft.fft2(fields) * amplitude).real
    taper = module._spectra(torch.device("cpu")).taper.double()
    windows = fields.unfold(1, 32, 32).unfold(2, 32, 32).flatten(0, 2)
    power = torch.fft.rfft2(windows * taper).abs().square().mean(0).flatten()
    expected = module._expected(radius, slope, taper.float()).double()
    known = torch.cat(module._spectra(torch.device("cpu")).sectors)
    inside = known[expected[known] > 1e-3 * expected[known].max()]
    assert len(inside) > 60
    ratio = (power / expected)[inside]
    assert abs(float(ratio.log().mean())) < 0.08
    assert float(ratio.log().std()) < 0.08


def test_each_frequency_has_one_direction():
    known = torch.cat(module._spectra(torch.device("cpu")).sectors)
    assert len(known) == len(known.unique())
    y, x = known // 17, known % 17
    assert not ((x == 0) & ((y == 0) | (y > 16))).any()  # neither the mean nor what x = 0 mirrors


def test_the_map_is_the_smooth_least_squares_fit():
    generator = torch.Generator().manual_seed(0)
    mean, variance = torch.rand(2, 1, 1, 4, 5, generator=generator).double() + 0.1
    guide = 0.1 * torch.rand(1, 3, 4, 5, generator=generator).double()
    rows, wanted = [], []
    for i in range(4):
        for j in range(5):
            place = np.zeros((4, 5))
            place[i, j] = 1
            rows.append(place / float(variance[0, 0, i, j]) ** 0.5)
            wanted.append(float(mean[0, 0, i, j]) / float(variance[0, 0, i, j]) ** 0.5)
            for k, m in ((i + 1, j), (i, j + 1)):
                if k < 4 and m < 5:
                    contrast = float((guide[0, :, k, m] - guide[0, :, i, j]).square().sum())
                    weight = module._STIFFNESS * (
                        np.exp(-contrast / (2 * module._EDGE**2)) + module._ACROSS
                    )
                    step = -place
                    step[k, m] = 1
                    rows.append(weight**0.5 * step)
                    wanted.append(0.0)
    want = np.linalg.lstsq(np.stack(rows).reshape(len(rows), -1), np.array(wanted), rcond=None)[0]
    got = module._smoothed(mean, variance, guide)
    torch.testing.assert_close(got.flatten(), torch.tensor(want), atol=1e-3, rtol=0)
