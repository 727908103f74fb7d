"""Kernels that belong to the photos of a paired folder."""

import numpy as np
import pytest
import torch

from unfold.datasets import DataError
from unfold.datasets.plain import Paired
from unfold.evaluation import evaluate
from unfold.imaging import Photo, write
from unfold.restorer import Restoration, Restorer


@pytest.fixture
def folder(tmp_path):
    for name in ("input", "target", "kernel"):
        (tmp_path / name).mkdir()
    for i, name in enumerate(("a", "b")):
        for place in ("input", "target"):
            write(tmp_path / place / f"{name}.png", Photo(torch.rand(3, 12, 14)))
        np.save(tmp_path / "kernel" / f"{name}.npy", np.ones((1, i + 2)))
    return tmp_path


def test_each_pair_has_its_own(folder):
    pairs = Paired(folder, kernel_dir="kernel")
    assert [pair.kernel_path for pair in pairs] == [folder / "kernel" / f"{n}.npy" for n in "ab"]
    assert all(pair.kernel_path not in pair.files for pair in pairs)
    assert [pair.kernel_path for pair in Paired(folder)] == [None, None]


def test_a_missing_one_is_a_fault(folder):
    (folder / "kernel" / "b.npy").unlink()
    with pytest.raises(DataError) as caught:
        Paired(folder, kernel_dir="kernel")
    assert caught.value.errors == ("kernel/b.npy: there is no such kernel",)
    assert [pair.name for pair in Paired(folder, kernel_dir="kernel", strict=False)] == ["a"]


class Told(Restorer):
    """Keeps the kernels that it is given."""

    requires_training = False

    def __init__(self):
        super().__init__()
        self.told = []

    def forward(self, image, *, kernel=None, history=None):
        self.told.append(kernel)
        return Restoration(image)

    def explain(self):
        return "image = image"


def test_a_model_is_measured_with_it(folder):
    model = Told()
    report = evaluate(model, Paired(folder, kernel_dir="kernel"), "gopro", without=["ssim"])
    assert [row.error for row in report.rows] == ["", ""]
    for i, kernel in enumerate(model.told):
        torch.testing.assert_close(kernel, torch.full((1, 1, 1, i + 2), 1 / (i + 2)))
    model = Told()
    evaluate(model, Paired(folder), "gopro", without=["ssim"])
    assert model.told == [None, None]


def test_a_kernel_that_cannot_be_read_is_told_in_its_row(folder):
    np.save(folder / "kernel" / "a.npy", -np.ones((2, 2)))
    report = evaluate(Told(), Paired(folder, kernel_dir="kernel"), "gopro", without=["ssim"])
    assert "not negative" in report.rows[0].error
    assert not report.rows[1].error
