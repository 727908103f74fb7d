"""Tiles cover a photo, agree on who is believed where, and fit."""

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from unfold.restoration.grid import ALIGN, Grid

GRIDS = {
    "height": st.integers(40, 400),
    "width": st.integers(40, 400),
    "radius": st.sampled_from([0, 1, 8, 20, 33]),
    "pixels": st.integers(15_000, 60_000),
}


def planned(height, width, radius, pixels):
    grid = Grid.plan(height, width, radius=radius, pixels=pixels)
    assume(grid is not None)
    return grid


@settings(max_examples=20)
@given(**GRIDS)
def test_weights_sum_to_one_and_are_zero_within_the_radius(height, width, radius, pixels):
    grid = planned(height, width, radius, pixels)
    total = torch.zeros(height, width)
    for rows, columns, weight in grid.tiles():
        total[rows, columns] += weight
        assert weight.shape == (rows.stop - rows.start, columns.stop - columns.start)
        assert weight.numel() <= pixels
        assert rows.start % ALIGN == columns.start % ALIGN == 0
        assert rows.start == 0 or not weight[:radius].any()
        assert columns.start == 0 or not weight[:, :radius].any()
        assert rows.stop == height or not weight[weight.shape[0] - radius :].any()
        assert columns.stop == width or not weight[:, weight.shape[1] - radius :].any()
    torch.testing.assert_close(total, torch.ones(height, width))


@settings(max_examples=20)
@given(**GRIDS)
def test_cores_are_parts_of_the_tiles_and_do_not_overlap(height, width, radius, pixels):
    grid = planned(height, width, radius, pixels)
    times = torch.zeros(height, width)
    for (rows, columns, _), core in zip(grid.tiles(), grid.cores(), strict=True):
        times[core] += 1
        for outer, inner in zip((rows, columns), core, strict=True):
            assert outer.start <= inner.start
            assert inner.stop <= outer.stop
    assert (times == 1).all()


@settings(max_examples=20)
@given(**GRIDS)
def test_seams_lie_where_tiles_meet(height, width, radius, pixels):
    grid = planned(height, width, radius, pixels)
    assume(len(grid) > 1)
    seams = grid.seams(4)
    assert 1 <= len(seams) <= 4
    for row, column in seams:
        at = [
            w for r, c, w in grid.tiles() if r.start <= row < r.stop and c.start <= column < c.stop
        ]
        assert len(at) > 1


def test_the_plan_computes_little_more_than_square_tiles_must():
    height, width, radius, pixels = 1500, 1700, 16, 90_000
    overlap = 2 * radius + 32
    grid = Grid.plan(height, width, radius=radius, pixels=pixels)
    side = pixels**0.5
    ideal = height * width * (side / (side - overlap)) ** 2
    assert sum(weight.numel() for _, _, weight in grid.tiles()) < 1.15 * ideal
    assert len(Grid.plan(height, width, radius=radius, pixels=height * width)) == 1


def test_no_plan_where_a_tile_would_bring_nothing_new():
    assert Grid.plan(500, 500, radius=100, pixels=40_000) is None
