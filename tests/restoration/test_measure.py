"""What models measure of the whole photo, in little memory."""

import pytest
import torch
from torch.nn.functional import conv2d

import unfold
from unfold.estimators import KernelNet, noise
from unfold.estimators.noise import laplacian_noise


@pytest.mark.parametrize("size", [(160, 208), (144, 96), (100, 131)])
def test_kernels_gathered_over_windows_are_those_of_the_whole(size):
    estimator = KernelNet(2, size=7, widths=(4, 6, 8, 8, 8)).double()
    torch.nn.init.normal_(estimator.to_kernels.weight)
    image = torch.rand(2, 3, *size, dtype=torch.float64)
    with torch.no_grad():
        want, got = (
            estimator(image)[0],
            estimator.measure(image, image.new_full((1, 1, 1, 1), 0.01), window=64)["kernel"],
        )
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12 if size[0] % 16 == 0 else 1e-3)
    assert (want[0] - want[1]).abs().max() > 1e-9  # it depends on the photo at all


def test_noise_by_differences_is_noise_by_convolution():
    image = torch.rand(2, 3, 41, 30, dtype=torch.float64)
    second = image.new_tensor([1.0, -2.0, 1.0])
    mask = (second[:, None] * second).expand(3, 1, 3, 3)
    response = conv2d(image, mask, groups=3).abs().flatten(1)
    want = response.median(1).values / (6 * 0.6745)
    torch.testing.assert_close(laplacian_noise(image).flatten(), want)


@pytest.mark.parametrize("name", ["jude-classic", "tv-deblur"])
def test_a_large_photo_is_measured_on_some_of_its_rows(name, monkeypatch):
    x = torch.linspace(0.05, 0.6, 300).expand(1, 3, 200, 300)
    photo = (x + 0.02 * torch.randn(x.shape)).clamp(0, 1)
    model = unfold.create_model(name, kernel_estimator="point")
    full = model.measure(photo)
    monkeypatch.setattr(noise, "_ENOUGH_PIXELS", 15_000)
    monkeypatch.setattr(noise, "_ENOUGH_SQUARES", 8_000)
    thin = model.measure(photo)
    assert any(not torch.equal(full[key], thin[key]) for key in full)
    for key, value in full.items():
        torch.testing.assert_close(thin[key], value, rtol=0.03, atol=0)
