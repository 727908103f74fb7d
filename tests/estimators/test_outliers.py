"""Outliers: openings as scikit-image makes them, spots that are found, lines that are not."""

import numpy as np
import torch
from skimage.data import astronaut
from skimage.morphology import closing, opening

from unfold.estimators.outliers import _opened, find_outliers


def lines():
    row = np.ones((1, 6), bool)
    return row, row.T, np.eye(6, dtype=bool), np.eye(6, dtype=bool)[::-1]


def test_surroundings_are_the_openings_and_closings_of_scikit_image():
    photo = astronaut()[60:100, 100:150, 0] / 255
    inner = np.s_[8:-8, 8:-8]  # (its border is not a repeated one)
    opened = np.max([opening(photo, line) for line in lines()], 0)
    closed = np.min([closing(photo, line) for line in lines()], 0)
    ours = torch.from_numpy(photo)[None, None]
    np.testing.assert_array_equal(_opened(ours)[0, 0].numpy()[inner], opened[inner])
    np.testing.assert_array_equal(-_opened(-ours)[0, 0].numpy()[inner], closed[inner])


def test_bright_and_dark_spots_are_outliers_of_their_own_size():
    photo = torch.full((1, 3, 32, 32), 0.5)
    photo[:, :, 4:9, 4:9] = 1.0
    photo[:, 1, 20, 20] = 0.0
    outliers = find_outliers(photo)
    assert torch.equal(outliers, photo - 0.5)


def test_lines_and_edges_and_grass_are_none():
    photo = torch.full((1, 1, 48, 48), 0.2)
    photo[..., 10, :] = 0.9  # a line
    photo[..., 24:, :] = 0.7  # an edge
    photo[..., 30, 5:20] = 1.0  # a stroke
    diagonal = torch.arange(5, 20)
    photo[..., diagonal, diagonal] = 0.95
    assert find_outliers(photo).count_nonzero() == 0
    grass = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    assert (find_outliers(grass) != 0).float().mean() < 0.02


def test_each_channel_is_judged_by_its_own_values_and_a_small_photo_is_served():
    photo = torch.zeros(2, 4, 3, 5)
    photo[0, 2, 1, 1] = 1.0
    assert find_outliers(photo).shape == photo.shape
