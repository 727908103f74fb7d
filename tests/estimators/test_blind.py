"""Blind kernel estimation: on photos that were blurred by known kernels."""

import numpy as np
import pytest
import scipy.signal
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.data import astronaut, coffee

from unfold.core import State
from unfold.degradation import blur, motion_kernel
from unfold.estimators import BlindKernel
from unfold.estimators.blind import (
    away_from,
    centered,
    cleaned,
    fitting,
    is_stroke,
    levels,
    median_channel,
    with_most_edges,
)
from unfold.estimators.blind_stages import latent_stages


def shaken(photo, seed, size=17):
    sharp = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float() / 255
    kernel = motion_kernel(size, generator=torch.Generator().manual_seed(seed)).float()
    noise = 0.01 * torch.randn(sharp.shape, generator=torch.Generator().manual_seed(seed))
    return (blur(sharp, kernel) + noise).clamp(0, 1), kernel


def similarity(one, other):
    """The largest normalized correlation over all shifts."""
    one, other = (k[0, 0].double().numpy() for k in (one, other))
    peak = scipy.signal.correlate2d(one, other).max()
    return peak / np.linalg.norm(one) / np.linalg.norm(other)


@pytest.mark.parametrize(
    ("photo", "seed"), [(astronaut()[:240, 120:360], 1), (coffee()[:360, :400], 2)]
)
def test_the_kernel_of_a_shake_is_found(photo, seed):
    observed, kernel = shaken(photo, seed)
    found, maps = BlindKernel(size=21)(observed)
    assert maps is None
    assert found.shape == (1, 1, 21, 21)
    torch.testing.assert_close(found.sum((-2, -1)), torch.ones(1, 1))
    assert found.min() >= 0
    point = torch.zeros_like(found)
    point[..., 10, 10] = 1
    assert similarity(found, kernel) > 0.8
    assert similarity(found, kernel) > similarity(point, kernel) + 0.2


def test_a_batch_is_one_photo_after_the_other():
    photos = torch.cat([shaken(astronaut()[:96, 100:196], seed, 7)[0] for seed in (1, 2)])
    estimator = BlindKernel(size=9)
    together = estimator(photos)[0]
    for i in range(2):
        assert torch.equal(together[i : i + 1], estimator(photos[i : i + 1])[0])


def test_an_l0_round_lowers_its_energy():
    """The gradients that stay are those whose square is above the threshold (Xu et al., eq. 12)."""
    x = torch.rand(1, 1, 24, 24, dtype=torch.float64)
    h = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    stage = latent_stages().stages[2]
    gradient = torch.zeros(1, 2, 24, 24, dtype=torch.float64)
    state = State({"X": x, "I": x, "G": gradient, "H": h, "λ": torch.full((1, 1, 1, 1), 0.01)})
    weights = stage.penalties(state)
    values = [stage.lagrangian.value(state, weights)]
    for step in stage.steps:
        state = step(state, weights)
        values.append(stage.lagrangian.value(state, weights))
    assert values[0] >= values[1] >= values[2]
    size = state["G"].square().sum(1)
    assert size[size > 0].min() > stage.penalties.threshold
    assert 0 < (size > 0).float().mean() < 1


def test_faint_entries_and_islands_are_cleaned_away():
    kernel = torch.zeros(1, 1, 9, 9)
    kernel[..., 4, 2:7] = 1.0
    kernel[..., 3, 7] = 0.5  # touches at a corner
    kernel[..., 0, 0] = 0.3  # an island of little mass
    kernel[..., 8, 4] = 0.04  # faint
    clean = cleaned(kernel)
    expected = kernel.clone()
    expected[..., 0, 0] = expected[..., 8, 4] = 0
    torch.testing.assert_close(clean, expected / expected.sum())
    heavy = kernel.clone()
    heavy[..., 0, 0] = 1.0  # a tenth and more of the mass
    assert cleaned(heavy)[..., 0, 0] > 0


def test_small_islands_alone_are_no_kernel():
    scattered = torch.zeros(1, 1, 15, 15)
    scattered[..., ::3, ::3] = 1  # 25 parts of 4 % each
    assert cleaned(scattered)[..., 7, 7] == 1


def test_a_flat_photo_shows_no_blur():
    """What is left of it is rounding errors."""
    (kernel,), _ = BlindKernel()(torch.full((1, 3, 96, 96), 0.6))
    assert kernel[0, 15, 15] == 1


@pytest.mark.parametrize("place", [(0, 0), (2, 6), (8, 3), (4, 4)])
def test_the_center_of_mass_comes_to_the_middle(place):
    kernel = torch.zeros(1, 1, 9, 9)
    kernel[..., place[0], place[1]] = 1.0
    assert centered(kernel)[..., 4, 4] == 1


def test_what_is_moved_out_of_the_kernel_is_gone():
    kernel = torch.zeros(1, 1, 5, 5)
    kernel[..., 0, 0] = 0.1
    kernel[..., 4, 4] = 0.9
    moved = centered(kernel)
    assert moved[..., 2, 2] == 1


def test_strokes_and_discs_are_told_from_points_far_apart():
    for seed in range(20):
        assert is_stroke(motion_kernel(17, generator=torch.Generator().manual_seed(seed)).float())
    disc = torch.zeros(1, 1, 9, 9)
    disc[..., 3:6, 3:6] = 1 / 9
    line = torch.full((1, 1, 1, 21), 1 / 21)
    assert is_stroke(disc)
    assert is_stroke(line)
    few, far = torch.zeros(2, 1, 1, 21, 21)
    few[..., 10, 9:13] = 0.25
    far[..., 10, ::5] = far[..., 2, ::5] = 0.1
    assert not is_stroke(few)  # a sharp photo's
    assert not is_stroke(far)  # a wall's


def test_levels_begin_with_a_kernel_of_about_five_pixels():
    assert levels(5) == [1.0]
    assert levels(21)[-1] == 1
    assert 4 <= 21 * levels(21)[0] <= 6


def test_the_part_with_most_edges_is_looked_at():
    photo = torch.zeros(1, 1, 300, 400)
    photo[..., 200:280, 300:380] = torch.rand(80, 80)
    part = photo[with_most_edges(photo, 128, torch.ones_like(photo))]
    assert part.shape == (1, 1, 128, 128)
    assert (part > 0).sum() == (photo > 0).sum()
    assert photo[with_most_edges(photo, 1000, torch.ones_like(photo))].shape == photo.shape
    trusted = torch.ones_like(photo)
    trusted[..., 290:] = 0
    photo[..., 20:40, 20:40] = 0.1 * torch.rand(20, 20)
    found = photo[with_most_edges(photo, 128, trusted)]
    assert 0 < found.max() <= 0.1


@given(st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_no_lamp_is_within_the_distance_of_what_is_trusted(distance, seed):
    lamps = (
        torch.rand(1, 1, 40, 50, generator=torch.Generator().manual_seed(seed)) > 0.999
    ).float()
    trusted = away_from(lamps, distance)
    places = lamps[0, 0].nonzero()
    for row, column in torch.cartesian_prod(torch.arange(0, 40, 3), torch.arange(0, 50, 3)):
        near = ((places - torch.stack([row, column])).abs().amax(-1) <= distance).any()
        assert trusted[0, 0, row, column] == (not near or float(1 - trusted.mean()) == 0)


def test_lamps_that_are_clipped_have_no_say():
    sharp = 0.3 * torch.from_numpy(coffee()[:360, :400].copy()).permute(2, 0, 1)[None].float() / 255
    generator = torch.Generator().manual_seed(5)
    for row, column in ((60, 80), (200, 300), (300, 60)):
        sharp[..., row : row + 3, column : column + 3] = 30
    kernel = motion_kernel(17, generator=generator).float()
    noise = 0.005 * torch.randn(sharp.shape, generator=generator)
    observed = (blur(sharp, kernel) + noise).clamp(0, 1)
    found = BlindKernel(size=21)(observed)[0]
    assert similarity(found, kernel) > 0.8


def test_what_tells_no_kernel_is_taken_for_sharp():
    estimator, point = BlindKernel(size=21), torch.zeros(2, 1, 21, 21)
    point[..., 10, 10] = 1
    assert torch.equal(estimator(torch.rand(2, 3, 41, 60))[0], point)  # small
    assert torch.equal(estimator(torch.full((2, 3, 50, 60), 0.5))[0], point)  # flat
    sharp = torch.from_numpy(astronaut()[200:360, :200].copy()).permute(2, 0, 1)[None] / 255
    assert torch.equal(estimator(sharp)[0], point[:1])
    noise = torch.randn(1, 3, 50, 60, generator=torch.Generator().manual_seed(0))
    flat, ramp = torch.tensor(0.5), torch.linspace(0.1, 0.9, 60)
    for ground, sigma in ((flat, 0.01), (ramp, 0.0), (ramp, 0.05)):
        assert torch.equal(estimator(ground + sigma * noise)[0], point[:1])


def test_the_kernel_of_a_dark_photo_is_that_of_a_bright_one():
    observed, _ = shaken(astronaut()[:200, 100:300], 1, 9)
    one, dark = (BlindKernel(size=15)(photo)[0] for photo in (observed, observed / 8))
    assert similarity(one, dark) > 0.95


def test_the_kernel_of_a_dark_noisy_photo_is_found():
    """A quarter of the light, σ = 0.01: at full exposure the noise is 0.04."""
    sharp = torch.from_numpy(coffee()[:260, :540].copy()).permute(2, 0, 1)[None].float() / 255
    kernel = motion_kernel(17, generator=torch.Generator().manual_seed(2)).float()
    noise = 0.01 * torch.randn(sharp.shape, generator=torch.Generator().manual_seed(3))
    photo, estimator = blur(0.25 * sharp, kernel) + noise, BlindKernel(size=21)
    found, agreement, _ = estimator.compare_halves(photo, *estimator.estimate(photo))
    assert similarity(found, kernel) > 0.8
    assert agreement > 0.7


def test_a_photo_that_drowns_in_noise_shows_no_kernel():
    observed, _ = shaken(coffee()[:200, :300], 2, 9)
    noise = torch.randn(observed.shape, generator=torch.Generator().manual_seed(1))
    estimator = BlindKernel(size=13, agreement=0)
    assert estimator(observed + 0.03 * noise)[0].count_nonzero() > 1
    assert estimator(observed + 0.12 * noise)[0].count_nonzero() == 1


def test_the_kernel_of_a_noisy_photo_is_the_mean_of_that_and_of_its_halves(monkeypatch):
    observed, _ = shaken(coffee()[:260, :540], 2, 9)
    observed += 0.03 * torch.randn(observed.shape, generator=torch.Generator().manual_seed(1))
    estimator = BlindKernel(size=13)
    estimate, found = estimator.estimate, {}

    def once(photo):
        key = photo.data_ptr(), photo.shape
        if key not in found:
            found[key] = estimate(photo)
        return found[key]

    monkeypatch.setattr(estimator, "estimate", once)
    whole, *parts = (estimator.kernel_of(x) for x in (observed, *observed.chunk(2, -1)))
    assert all(part.count_nonzero() > 1 for part in parts)
    mean = (2 * whole + sum(fitting(part, whole) for part in parts)) / 4
    assert torch.equal(estimator(observed)[0], centered(cleaned(mean)))


@pytest.mark.parametrize("shift", [(0, 0), (2, -1), (-3, 2)])
def test_a_kernel_is_moved_to_where_it_fits(shift):
    kernel = torch.zeros(1, 1, 13, 13)
    kernel[..., 4:9, 4:9] = torch.rand(5, 5, generator=torch.Generator().manual_seed(1))
    kernel /= kernel.sum()
    torch.testing.assert_close(fitting(kernel.roll(shift, (-2, -1)), kernel), kernel)


def test_refusals():
    with pytest.raises(ValueError, match="size=20: must be odd"):
        BlindKernel(size=20)


def test_halves_that_were_shaken_differently_tell_no_kernel():
    sharp = torch.from_numpy(coffee()[:256, :520].copy()).permute(2, 0, 1)[None].float() / 255
    kernels = [
        motion_kernel(17, generator=torch.Generator().manual_seed(seed)).float() for seed in (2, 7)
    ]
    assert similarity(*kernels) < 0.5
    noise = 0.005 * torch.randn(sharp.shape, generator=torch.Generator().manual_seed(0))
    one, other = (blur(sharp, kernel) for kernel in kernels)
    mixed = torch.cat([one[..., :260], other[..., 260:]], -1) + noise
    estimator = BlindKernel(size=21)
    assert estimator(mixed)[0].count_nonzero() == 1
    assert estimator(one + noise)[0].count_nonzero() > 1


def test_a_half_with_few_edges_is_explained_by_the_kernel_of_the_other():
    sharp = torch.from_numpy(coffee()[:256, :520].copy()).permute(2, 0, 1)[None].float() / 255
    sharp[..., 260:] = 0.5 + 0.04 * (sharp[..., 260:] - 0.5)
    photo = blur(sharp, motion_kernel(17, generator=torch.Generator().manual_seed(2)).float())
    photo = photo + 0.005 * torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
    estimator = BlindKernel(size=21)
    compared = estimator.compare_halves(photo, *estimator.estimate(photo))
    assert compared.agreement < estimator.agreement
    assert [part.count_nonzero() > 1 for part in compared.parts] == [True, False]
    assert estimator(photo)[0].count_nonzero() > 1


def test_a_kernel_explains_a_photo_that_it_shook():
    photo, kernel = shaken(coffee()[:256, :260], 2)
    wrong = motion_kernel(17, generator=torch.Generator().manual_seed(7)).float()
    point = torch.zeros_like(kernel)
    point[..., 8, 8] = 1
    estimator = BlindKernel(size=17)
    assert estimator.explains(kernel, photo, point)
    assert not estimator.explains(wrong, photo, kernel)
    sharp = torch.from_numpy(coffee()[:256, :260].copy()).permute(2, 0, 1)[None].float() / 255
    assert not estimator.explains(kernel, sharp, point)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_median_of_channels(channels):
    image = torch.randint(0, 4, (2, channels, 9, 9)).float()
    assert torch.equal(median_channel(image), image.median(1, keepdim=True).values)
