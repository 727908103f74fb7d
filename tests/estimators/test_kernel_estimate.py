"""A photo's kernel, its size, and whether the photo's halves agree about it."""

import pytest
import scipy.signal
import torch
from skimage.data import astronaut
from torch.nn.functional import pad

import unfold
from unfold.degradation import blur, motion_kernel
from unfold.estimators.blind import correlation
from unfold.estimators.kernel_estimate import trimmed


def photo(rows=slice(0, 220), columns=slice(100, 380)):
    return torch.from_numpy(astronaut()[rows, columns].copy()).permute(2, 0, 1)[None].float() / 255


def kernel_of(seed, size=15):
    return motion_kernel(size, generator=torch.Generator().manual_seed(seed)).float()


def test_a_shake_of_the_whole_photo_is_found_in_both_halves():
    kernel = kernel_of(1)
    estimate = unfold.estimate_kernel(blur(photo(), kernel), 21)
    assert not estimate.sharp
    assert estimate.sure
    least = max(kernel.shape[-1], estimate.kernel.shape[-1])
    one, other = (pad(k, ((least - k.shape[-1]) // 2,) * 4) for k in (estimate.kernel, kernel))
    assert correlation(one, other) > 0.8


def test_a_sharp_photo_has_a_point():
    estimate = unfold.estimate_kernel(photo())
    assert estimate.sharp
    assert torch.equal(estimate.kernel, torch.ones(1, 1, 1, 1))
    assert estimate.agreement == 1


def test_a_kernel_that_reaches_the_rim_is_sought_in_a_larger_square():
    long = torch.full((1, 1, 1, 41), 1 / 41)
    estimate = unfold.estimate_kernel(blur(photo(slice(0, 160), slice(0, 512)), long))
    assert estimate.kernel.shape[-1] > 31


def test_a_kernel_is_cut_to_its_odd_square():
    kernel = torch.zeros(1, 1, 9, 9)
    kernel[..., 4, 4] = 0.5
    kernel[..., 4, 6] = 0.5
    assert trimmed(kernel).shape == (1, 1, 5, 5)
    assert trimmed(kernel)[0, 0, 2].tolist() == [0, 0, 0.5, 0, 0.5]


def test_correlation_is_scipys_whatever_the_shift():
    torch.manual_seed(0)
    one, other = torch.rand(2, 1, 1, 7, 7)
    expected = scipy.signal.correlate2d(one[0, 0], other[0, 0]).max() / one.norm() / other.norm()
    assert correlation(one, other) == pytest.approx(float(expected), abs=1e-6)
    assert correlation(one, one.roll(2, -1) * (torch.arange(7) > 1)) < 1


def test_refusals():
    for shape in ((3, 64, 64), (2, 3, 64, 64), (1, 4, 64, 64)):
        with pytest.raises(ValueError, match="takes one photo"):
            unfold.estimate_kernel(torch.rand(shape))
    with pytest.raises(ValueError, match="NaN or infinite"):
        unfold.estimate_kernel(torch.full((1, 3, 64, 64), torch.nan))
    assert unfold.estimate_kernel(torch.rand(1, 3, 5, 4)).sharp
    assert unfold.estimate_kernel(torch.full((1, 3, 64, 64), 0.5)).sharp
