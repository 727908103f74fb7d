import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unfold.estimators import DilatedDenoiser, IlluminationNet, KernelNet
from unfold.estimators.illumination import retinex_split

sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(size=sizes, kernels=st.integers(1, 3), side=st.integers(3, 9))
@settings(max_examples=15, deadline=None)
def test_kernels_sum_to_one_and_maps_have_the_images_size(size, kernels, side):
    estimator = KernelNet(kernels, kernels, size=side, widths=(4, 8, 8))
    found, logits = estimator(torch.rand(2, 3, *size))
    assert found.shape == (2, kernels, side, side)
    assert logits.shape == (2, kernels, *size)
    assert (found >= 0).all()
    torch.testing.assert_close(found.sum((-2, -1)), torch.ones(2, kernels))


@pytest.mark.parametrize("side", [15, 16, 31])
def test_an_untrained_kernel_is_nearly_a_point_at_the_centre(side):
    kernel = KernelNet(size=side)(torch.rand(1, 3, 64, 64))[0][0, 0]
    assert kernel.argmax().item() == (side // 2) * side + side // 2
    # a Gaussian of one pixel: three quarters of it within two pixels
    middle = kernel[side // 2 - 2 : side // 2 + 3, side // 2 - 2 : side // 2 + 3]
    assert middle.sum() > 0.75


def test_an_estimator_can_learn_a_kernel():
    torch.manual_seed(0)
    estimator = KernelNet(size=7, widths=(8, 16))
    image, want = torch.rand(1, 3, 24, 24), torch.zeros(1, 1, 7, 7)
    want[..., 3, 1:6] = 0.2
    optimizer = torch.optim.Adam(estimator.parameters(), 1e-2)
    for _ in range(150):
        loss = (estimator(image)[0] - want).abs().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


@given(size=sizes, channels=st.sampled_from([1, 3]))
@settings(max_examples=15, deadline=None)
def test_the_enhancer_starts_at_no_change_and_keeps_light_positive(size, channels):
    enhancer = IlluminationNet(channels, widths=(4, 8, 8))
    light = torch.rand(2, channels, *size) + 0.01
    assert torch.equal(enhancer(light)[0], light)
    torch.nn.init.normal_(enhancer.tail.weight, std=100)
    gain = enhancer(light)[0] / light
    assert (gain > 0.99 * torch.e**-4).all()
    assert (gain < 1.01 * torch.e**4).all()


def test_the_denoiser_starts_at_no_change_and_can_change():
    denoiser = DilatedDenoiser(width=8)
    x = torch.rand(1, 3, 9, 8)
    deviation = torch.full((1, 1, 9, 8), 0.1)
    assert torch.equal(denoiser(x, deviation), x)
    torch.nn.init.ones_(denoiser.net[-1].bias)
    torch.testing.assert_close(denoiser(x, deviation), x - 1)


@given(size=sizes)
@settings(max_examples=15, deadline=None)
def test_retinex_split_multiplies_to_the_image(size):
    image = torch.rand(2, 3, *size)
    image[:, :, 0, 0] = 0
    reflectance, light = retinex_split(image)
    assert light.shape == (2, 1, *size)
    torch.testing.assert_close(reflectance * light, image)
    assert reflectance.min() >= 0
    assert reflectance.max() <= 1
    assert light.min() >= 0.01


def test_refuses():
    with pytest.raises(ValueError, match="size >= 3"):
        KernelNet(size=2)
