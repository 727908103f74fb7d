"""Outliers: how many, how large, which values."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unfold.degradation import Outliers
from unfold.degradation.outliers import discs

SHAPE = (2, 3, 200, 220)


def planted(seed=0, image=None, **options):
    """The photo before and after."""
    image = torch.full(SHAPE, 0.4) if image is None else image
    outliers = Outliers(**options)
    return image, outliers(image, generator=torch.Generator().manual_seed(seed))


@given(density=st.floats(0.001, 0.05), spots=st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=10)
def test_there_are_as_many_as_drawn(density, spots):
    """Single pixels: as frequent as the density says, to four standard deviations."""
    before, after = planted(density=(density, density), spots=(spots, spots), radius=(0, 0))
    changed = (before != after).any(1).float()
    n = changed.numel()
    assert abs(changed.sum() - density * n) < 4 * (density * n) ** 0.5


def test_a_spot_is_white_and_hot_and_dead_pixels_have_one_channel():
    before, after = planted(density=(0.01, 0.01), spots=(1, 1), radius=(0, 0))
    changed = before != after
    assert torch.equal(changed.any(1), changed.all(1))
    assert (after[changed] == 1).all()
    before, after = planted(density=(0.01, 0.01), spots=(0, 0))
    changed = before != after
    assert (changed.sum(1) <= 1).all()
    values = after[changed]
    assert set(values.tolist()) == {0.0, 1.0}
    assert 0.4 < values.mean() < 0.6
    assert all(changed[:, c].float().sum() > 0.2 * changed.sum() for c in range(3))


@pytest.mark.parametrize(("radius", "pixels"), [(0, 1), (0.9, 1), (1, 5), (1.5, 9), (2, 13)])
def test_a_spot_is_a_disc(radius, pixels):
    radii = torch.full((9, 9), -1.0)
    radii[4, 4] = radius
    y, x = torch.meshgrid(torch.arange(9), torch.arange(9), indexing="ij")
    want = ((y - 4) ** 2 + (x - 4) ** 2).double().sqrt() <= radius
    assert torch.equal(discs(radii), want)
    assert want.sum() == pixels


def test_discs_at_the_border_and_of_unlike_radii():
    radii = torch.full((5, 7), -1.0)
    radii[0, 0], radii[4, 5] = 2.0, 1.0
    y, x = torch.meshgrid(torch.arange(5), torch.arange(7), indexing="ij")
    want = (y**2 + x**2 <= 4) | ((y - 4) ** 2 + (x - 5) ** 2 <= 1)
    assert torch.equal(discs(radii), want)


def test_values_above_white_stay():
    before, after = planted(image=torch.full(SHAPE, 1.3), density=(0.1, 0.1))
    assert set(after.unique().tolist()) == {0.0, before.max().item()}


def test_none_of_density_zero():
    before, after = planted(density=(0, 0))
    assert torch.equal(before, after)


@pytest.mark.parametrize(
    "wrong", [{"density": (0, 2)}, {"spots": (-1, 0)}, {"radius": (3, 2)}, {"radius": (0, 99)}]
)
def test_what_cannot_be(wrong):
    with pytest.raises(ValueError, match=f"outliers: {next(iter(wrong))}="):
        Outliers(**wrong)
