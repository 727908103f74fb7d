import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unfold.degradation import blur, motion_kernel


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@given(size=st.integers(3, 41), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_sum_support_and_centre(size, seed):
    kernel = motion_kernel(size, generator=seeded(seed))
    assert kernel.shape == (1, 1, size, size)
    assert kernel.sum().item() == pytest.approx(1, abs=1e-5)
    assert (kernel >= 0).all()
    axis = torch.arange(size, dtype=torch.float32) - size // 2
    assert (kernel[0, 0].sum(1) * axis).sum().item() == pytest.approx(0, abs=1e-3)
    assert (kernel[0, 0].sum(0) * axis).sum().item() == pytest.approx(0, abs=1e-3)


def test_extent_bounds_the_path():
    for seed in range(10):
        kernel = motion_kernel(31, extent=4.0, generator=seeded(seed))[0, 0]
        outside = torch.ones(31, 31, dtype=torch.bool)
        outside[10:21, 10:21] = False
        assert not kernel[outside].any()
        assert kernel[~outside].count_nonzero() > 8


def test_seeds_repeat_and_differ():
    assert torch.equal(motion_kernel(generator=seeded(1)), motion_kernel(generator=seeded(1)))
    assert not torch.equal(motion_kernel(generator=seeded(1)), motion_kernel(generator=seeded(2)))


@pytest.mark.parametrize("bad", [{"size": 2}, {"size": 9, "extent": 4.0}, {"extent": 0.0}])
def test_refuses(bad):
    with pytest.raises(ValueError, match="extent in"):
        motion_kernel(**bad)


@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    kernel=st.tuples(st.integers(1, 15), st.integers(1, 15)),
)
@settings(max_examples=40, deadline=None)
def test_blur_is_scipys_with_a_mirrored_border(size, kernel):
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    k = torch.rand(2, 1, *kernel, dtype=torch.float64)
    got = blur(x, k)
    for b in range(2):
        for c in range(3):
            weights = k[b, 0].numpy()
            want = scipy.ndimage.convolve(x[b, c].numpy(), weights, mode="reflect")
            np.testing.assert_allclose(got[b, c].numpy(), want, atol=1e-10)
