"""The loss of estimated kernels: blind to shifts, and to nothing else."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import correlate2d

from unfold.losses import KernelCorrelation, LossError, Outcome
from unfold.losses.kernel import largest_correlation
from unfold.registry.spec import resolve
from unfold.restorer import Restoration

SIDES = st.integers(1, 7)


def kernels(batch, count, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    made = torch.rand(batch, count, height, width, generator=generator, dtype=torch.float64)
    return made / made.sum((-2, -1), keepdim=True)


def outcome(estimated, true, maps=None):
    parts = {"kernel": estimated} | ({} if maps is None else {"maps": maps})
    image = torch.zeros(1, 3, 8, 8)
    return Outcome(Restoration(image, parts), {"input": image, "true-kernel": true})


def test_it_is_a_component():
    assert isinstance(resolve("losses", "kernel").build(), KernelCorrelation)
    assert resolve("losses", {"kind": "kernel", "subpixel": 4}).build().subpixel == 4


@given(h=SIDES, w=SIDES, a=SIDES, b=SIDES, seed=st.integers(0, 9))
def test_the_largest_correlation_is_scipys(h, w, a, b, seed):
    one, other = kernels(2, 1, h, w, seed), kernels(2, 1, a, b, seed + 1)
    got = largest_correlation(one, other)
    for i in range(2):
        x, y = one[i, 0].numpy(), other[i, 0].numpy()
        want = correlate2d(x, y).max() / np.linalg.norm(x) / np.linalg.norm(y)
        assert got[i, 0].item() == pytest.approx(want)


@given(side=SIDES, top=st.integers(0, 6), left=st.integers(0, 6), subpixel=st.integers(1, 3))
def test_a_shifted_and_padded_copy_costs_nothing(side, top, left, subpixel):
    true = kernels(2, 1, side, side)
    shifted = torch.zeros(2, 1, 13, 14, dtype=torch.float64)
    shifted[..., top : top + side, left : left + side] = true
    for estimated, other in ((shifted, true), (true, shifted)):
        loss = KernelCorrelation(subpixel=subpixel)(outcome(estimated, other))
        assert 0 <= loss.item() < 1e-12


@given(height=SIDES, width=SIDES, subpixel=st.integers(1, 3), seed=st.integers(0, 9))
def test_another_kernel_costs(height, width, subpixel, seed):
    one, other = kernels(1, 1, height, width, seed), kernels(1, 1, 8, 9, seed + 1)
    assert KernelCorrelation(subpixel=subpixel)(outcome(one, other)).item() > 1e-3
    mirrored = one.flip(-1)  # the same spectrum's magnitude, another kernel
    if width > 1 and not torch.allclose(one, mirrored):
        assert KernelCorrelation()(outcome(mirrored, one)).item() > 0


def test_a_point_and_a_line_are_as_alike_as_their_norms_say():
    point, line = torch.ones(1, 1, 1, 1), torch.full((1, 1, 1, 4), 0.25)
    assert KernelCorrelation()(outcome(point, line)).item() == pytest.approx(0.5)


def test_shifts_below_a_pixel():
    """A wide Gaussian moved by half a pixel: interpolated, the correlation finds it."""
    x = torch.arange(-12, 13, dtype=torch.float64)

    def gaussian(center):
        row = (-((x - center) ** 2) / 8).exp()
        made = row[:, None] * (-(x**2) / 8).exp()
        return (made.mT / made.sum())[None, None]

    moved = outcome(gaussian(0.5), gaussian(0))
    assert KernelCorrelation()(moved).item() > 1e-3
    assert KernelCorrelation(subpixel=2)(moved).item() < 1e-6


def test_descending_it_finds_the_kernel():
    true = torch.zeros(1, 1, 7, 7)
    true[0, 0, 3, 1:5] = torch.tensor([0.1, 0.2, 0.3, 0.4])
    logits = torch.randn(1, 1, 9, 9).requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(300):
        estimated = logits.flatten(1).softmax(1).view(1, 1, 9, 9)
        loss = KernelCorrelation()(outcome(estimated, true))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.01


def test_the_gradient_is_that_of_differences():
    true = kernels(2, 1, 4, 5)
    estimated = kernels(2, 1, 5, 3, seed=3).requires_grad_()
    for subpixel in (1, 2):
        loss = KernelCorrelation(subpixel=subpixel)
        assert torch.autograd.gradcheck(lambda k, f=loss: f(outcome(k, true)), estimated)


def test_of_several_kernels_each_counts_by_its_share_of_the_picture():
    true = kernels(2, 1, 5, 5)
    several = torch.cat((true, kernels(2, 2, 5, 5, seed=1)), 1)
    errors = 1 - largest_correlation(several, true)
    assert torch.allclose(errors[:, 0], torch.zeros(2).double())
    maps = torch.rand(2, 3, 8, 8).double().softmax(1)
    got = KernelCorrelation()(outcome(several, true, maps)).item()
    want = (maps.mean((2, 3)) * errors).sum(1).mean().item()
    assert got == pytest.approx(want)
    only = torch.zeros_like(maps)
    only[:, 0] = 1
    assert KernelCorrelation()(outcome(several, true, only)).item() < 1e-12


def test_the_mean_over_halves_is_the_whole():
    one, other = kernels(4, 1, 5, 5), kernels(4, 1, 4, 6, seed=2)
    loss = KernelCorrelation()
    halves = [loss(outcome(one[i : i + 2], other[i : i + 2])).item() for i in (0, 2)]
    assert np.mean(halves) == pytest.approx(loss(outcome(one, other)).item())


def test_half_precision_is_computed_in_float32():
    one, other = kernels(1, 1, 5, 5).bfloat16(), kernels(1, 1, 5, 5, seed=1).bfloat16()
    got = KernelCorrelation()(outcome(one, other))
    assert got.dtype == torch.float32
    want = KernelCorrelation()(outcome(one.double(), other.double())).item()
    assert got.item() == pytest.approx(want, abs=1e-6)


def test_what_is_missing_is_named():
    image = torch.zeros(1, 3, 8, 8)
    one, several = kernels(1, 1, 3, 3), kernels(1, 2, 3, 3)
    for made, message in (
        (Outcome(Restoration(image), {"true-kernel": one}), "no part 'kernel'"),
        (Outcome(Restoration(image, {"kernel": one}), {}), "set data.kernel_size .*kernel_known"),
        (outcome(several, one), "no part 'maps'"),
    ):
        with pytest.raises(LossError, match=message):
            KernelCorrelation()(made)
