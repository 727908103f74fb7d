"""Transforms as matrix products beside torch.fft."""

import pytest
import torch
from unfold_onnx.fourier import MatrixFourier

SIZES = [(48, 30), (48, 31), (7, 11), (1, 1), (1, 5), (5, 2), (36, 36)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("leading", [(), (2, 3)])
def test_they_are_the_transforms_of_torch(size, leading):
    x = torch.rand(*leading, *size, dtype=torch.float64)
    want = torch.fft.rfft2(x)
    spectrum = torch.randn_like(want)  # of no real image: what irfft2 leaves out is left out
    back = torch.fft.irfft2(spectrum, s=size)
    with MatrixFourier():
        torch.testing.assert_close(torch.fft.rfft2(x), want, rtol=0, atol=1e-11)
        torch.testing.assert_close(torch.fft.irfft2(spectrum, s=size), back, rtol=0, atol=1e-12)


def test_a_kernel_is_extended_by_zeros():
    kernel = torch.rand(1, 1, 5, 4, dtype=torch.float64)
    want = torch.fft.rfft2(kernel, s=(12, 14))
    with MatrixFourier():
        torch.testing.assert_close(torch.fft.rfft2(kernel, s=(12, 14)), want)


def test_they_are_as_accurate_as_an_fft():
    """A photo's mean is large: rounding it must not drown the frequencies that are small."""
    torch.manual_seed(0)
    x = 0.5 + 0.01 * torch.randn(1, 1, 288, 288)
    spectrum = torch.fft.rfft2(x.double())
    rounded = spectrum.to(torch.complex64)
    image = torch.fft.irfft2(rounded.to(torch.complex128), s=x.shape[-2:])

    def errors():
        there, back = torch.fft.rfft2(x), torch.fft.irfft2(rounded, s=x.shape[-2:])
        return [(there - spectrum).abs().mean().item(), (back - image).abs().mean().item()]

    fft = errors()
    with MatrixFourier():
        matrices = errors()
    assert matrices[0] < fft[0] / 4
    assert matrices[1] < fft[1]
