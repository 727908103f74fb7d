"""PSNR, SSIM and MAE against scikit-image and NumPy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut, chelsea, coffee
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from unfold.metrics import MAE, PSNR, SSIM
from unfold.metrics.pixels import luma

# (ours, scikit-image's): the two settings of the papers, and what else the options reach.
SETTINGS = [
    ({}, {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}),
    ({"window": "uniform", "sample_covariance": True}, {}),
    ({"sample_covariance": True}, {"gaussian_weights": True, "sigma": 1.5}),
    ({"window": "uniform", "size": 9}, {"win_size": 9, "use_sample_covariance": False}),
    (  # (an integer; scikit-image's windows end at 3.5 σ)
        {"sigma": 2, "size": 15},
        {"gaussian_weights": True, "sigma": 2, "use_sample_covariance": False},
    ),
]


def photo(make, size=(120, 150)):
    array = make()[40 : 40 + size[0], 60 : 60 + size[1]]
    return torch.tensor(array).permute(2, 0, 1)[None].double() / 255


def worse(image, noise=0.05):
    noisy = image + noise * torch.randn(image.shape, dtype=torch.float64)
    return noisy.clamp(0, 1)


def theirs(x, y, **options):
    return structural_similarity(
        x[0].numpy(), y[0].numpy(), channel_axis=0, data_range=1, **options
    )


@pytest.mark.parametrize(("ours", "options"), SETTINGS)
@pytest.mark.parametrize("make", [astronaut, coffee, chelsea])
def test_ssim_is_scikit_images(make, ours, options):
    reference = photo(make)
    image = worse(reference)
    assert abs(SSIM(**ours)(image, reference).item() - theirs(image, reference, **options)) < 1e-7


@settings(max_examples=25, deadline=None)
@given(height=st.integers(11, 40), width=st.integers(11, 40), channels=st.sampled_from([1, 3]))
def test_ssim_of_any_size(height, width, channels):
    generator = torch.Generator().manual_seed(height * 100 + width)
    shape = (1, channels, height, width)
    x, y = (torch.rand(shape, generator=generator, dtype=torch.float64) for _ in "xy")
    ours, options = SETTINGS[0]
    assert abs(SSIM(**ours)(x, y).item() - theirs(x, y, **options)) < 1e-7


def test_ssim_refuses_what_is_smaller_than_its_window():
    small = torch.rand(1, 3, 10, 40)
    with pytest.raises(ValueError, match=r"is 40×10 pixels, smaller than its 11×11 window"):
        SSIM()(small, small)
    assert SSIM(window="uniform")(small, small).item() == pytest.approx(1)
    with pytest.raises(ValueError, match="take an odd"):
        SSIM(size=8)


@pytest.mark.parametrize("make", [astronaut, coffee])
def test_psnr_is_scikit_images(make):
    reference = photo(make)
    image = worse(reference)
    want = peak_signal_noise_ratio(reference.numpy(), image.numpy(), data_range=1)
    assert PSNR()(image, reference).item() == pytest.approx(want, abs=1e-9)


def test_psnr_of_identical_pictures_is_infinite_and_of_opposites_zero():
    x = torch.rand(1, 3, 4, 4)
    assert PSNR()(x, x).item() == math.inf
    assert PSNR()(torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)).item() == 0


@pytest.mark.parametrize("make", [astronaut, coffee])
def test_mae_counts_steps_of_eight_bits(make):
    reference = photo(make)
    image = (worse(reference) * 255).round() / 255
    bytes_of = [np.rint(t.numpy() * 255).astype(int) for t in (image, reference)]
    want = np.abs(bytes_of[0] - bytes_of[1]).mean()
    assert MAE()(image, reference).item() == pytest.approx(want, abs=1e-9)


@pytest.mark.parametrize("metric", [PSNR, SSIM, MAE])
def test_a_reference_of_another_shape_or_none_is_refused(metric):
    x = torch.rand(1, 3, 16, 16)
    with pytest.raises(ValueError, match=r"image is \(1, 3, 16, 16\) and reference \(1, 3, 16, 15"):
        metric()(x, x[..., :-1])
    with pytest.raises(ValueError, match="compares with a reference"):
        metric()(x)
    with pytest.raises(ValueError, match=r"must be \(B, 1 or 3, H, W\), got \(3, 16, 16\)"):
        metric()(x[0], x[0])


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, 3e-7), (torch.float64, 1e-15)])
@pytest.mark.parametrize("make", [astronaut, coffee])
def test_luma_is_that_of_bt_601(make, dtype, allowed):
    image = torch.cat((photo(make), photo(make).flip(1))).to(dtype)
    want = np.einsum("c,bchw->bhw", [0.299, 0.587, 0.114], image.double().numpy())[:, None]
    np.testing.assert_allclose(luma(image).numpy(), want, atol=allowed, rtol=0)
    assert luma(image).dtype == dtype


def test_the_luma_of_gray_is_the_picture():
    gray = torch.rand(2, 1, 4, 5)
    assert luma(gray) is gray


def test_ssim_of_a_batch_is_that_of_each_picture():
    reference = torch.cat([photo(make) for make in (astronaut, coffee)])
    image = worse(reference)[..., 3:-5, 2:-9]  # cut, and so not contiguous
    reference = reference[..., 3:-5, 2:-9]
    each = [SSIM()(x[None], y[None]) for x, y in zip(image, reference, strict=True)]
    torch.testing.assert_close(SSIM()(image, reference), torch.cat(each), rtol=0, atol=1e-12)
