"""Pairs as tensors: aligned crops that depend on seed, epoch and index alone."""

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from layouts import photos, put, two_folders
from PIL import Image
from torch.utils.data import DataLoader

from unfold.datasets import Pair, Photos
from unfold.datasets.plain import Paired, Unpaired
from unfold.imaging import ImageError, read


@pytest.fixture
def numbered(tmp_path):
    """Two pairs of the same picture, whose values tell each pixel's place."""
    rows, columns = np.mgrid[:24, :31].astype(np.uint8)
    values = np.stack([rows, columns, rows + columns], 2)
    for i in range(2):
        for folder in ("input", "target"):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(values).save(tmp_path / folder / f"{i}.png")
    return Paired(tmp_path)


def corner(item):
    return tuple((item["input"][:2, 0, 0] * 255).round().int().tolist())


def test_whole_photos(numbered):
    item = Photos(numbered)[0]
    assert set(item) == {"input", "target", "name"}
    assert item["name"] == "0"
    for key in ("input", "target"):
        assert item[key].dtype == torch.float32
        assert torch.equal(item[key], read(numbered[0].input).image)


def test_crops_and_flips_are_aligned_and_even(numbered):
    dataset = Photos(numbered, crop=20, flip=True, seed=3)
    corners, mirrored = Counter(), 0
    whole = read(numbered[0].input).image
    for epoch in range(600):
        dataset.set_epoch(epoch)
        item = dataset[0]
        assert torch.equal(item["input"], item["target"])
        values = (item["input"] * 255).round().int()
        turned = bool(values[1, 0, 0] > values[1, 0, -1])
        top, left = values[0, 0, 0].item(), values[1, 0].min().item()
        want = whole[:, top : top + 20, left : left + 20]
        assert torch.equal(item["input"], want.flip(2) if turned else want)
        mirrored += turned
        corners[top, left] += 1
    # 5 x 12 places, each ten times on average; chi² of 59 degrees, 1e-6 beyond 129.
    assert set(corners) == {(i, j) for i in range(5) for j in range(12)}
    assert sum((n - 10) ** 2 / 10 for n in corners.values()) < 129
    assert abs(mirrored - 300) < 5 * np.sqrt(150)


def test_without_flip_nothing_is_mirrored(numbered):
    dataset = Photos(numbered, crop=20)
    for epoch in range(20):
        dataset.set_epoch(epoch)
        row = dataset[0]["input"][1, 0]
        assert (row.diff() > 0).all()


def test_chance_is_seed_epoch_and_index(numbered):
    def drawn(seed, epoch, index):
        dataset = Photos(numbered, crop=4, seed=seed)
        dataset.set_epoch(epoch)
        dataset[1 - index]  # what came before does not matter
        torch.manual_seed(epoch)
        return corner(dataset[index])

    assert drawn(5, 6, 1) == drawn(5, 6, 1)
    assert len({drawn(seed, 0, 0) for seed in range(9)}) > 3
    assert len({drawn(0, epoch, 0) for epoch in range(9)}) > 3
    assert any(drawn(seed, 0, 0) != drawn(seed, 0, 1) for seed in range(4))
    assert corner(Photos(numbered, crop=4)[-1]) == corner(Photos(numbered, crop=4)[1])


def test_the_same_for_any_number_of_workers(numbered):
    """Workers that outlive an epoch included."""

    def epochs(workers):
        dataset = Photos(list(numbered) * 3, crop=8, seed=1, flip=True)
        loader = DataLoader(
            dataset, 2, num_workers=workers, persistent_workers=workers > 0,
            multiprocessing_context="fork" if workers else None,
        )  # fmt: skip
        for epoch in range(2):
            dataset.set_epoch(epoch)
            yield torch.cat([batch["input"] for batch in loader])

    alone, shared = list(epochs(0)), list(epochs(2))
    assert all(torch.equal(a, b) for a, b in zip(alone, shared, strict=True))
    assert not torch.equal(alone[0], alone[1])


def test_a_crop_does_not_carry_the_photo_along(numbered):
    for flip in (False, True):
        crop = Photos(numbered, crop=4, flip=flip)[0]["input"]
        assert crop.untyped_storage().nbytes() == 3 * 4 * 4 * 4


def test_without_targets(tmp_path):
    photos("a.png", "b.png")(tmp_path)
    assert set(Photos(Unpaired(tmp_path), crop=4)[1]) == {"input", "name"}


def test_16_bits_keep_their_precision(tmp_path):
    put(tmp_path / "x.png", bits=16)
    values = np.full((5, 6), 12345, np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    item = Photos([Pair("x", tmp_path / "x.png")])[0]
    assert item["input"].unique().item() == pytest.approx(12345 / 65535, abs=1e-7)


@pytest.mark.parametrize("side", [6, 23, 24, 99])
def test_large_photos_are_made_smaller(numbered, side):
    for key, image in Photos(numbered, side=side)[0].items():
        if key != "name":
            assert image.shape[1:] == ((side, round(31 * side / 24)) if side < 24 else (24, 31))
            # The values tell the place: of the middle, wherever the picture is cut smaller.
            assert image[0].mean().item() * 255 == pytest.approx(11.5, abs=0.1)
            assert image[1].mean().item() * 255 == pytest.approx(15, abs=0.1)
    assert Photos(numbered, side=12, crop=12)[0]["input"].shape == (3, 12, 12)
    with pytest.raises(ValueError, match="side=6 hold no crop of 8 x 8"):
        Photos(numbered, side=6, crop=8)


def test_bad_files_are_named(tmp_path):
    two_folders("input", "target")(tmp_path)
    pairs = list(Paired(tmp_path))
    with pytest.raises(ImageError, match=r"2\.png: 12 x 9 pixels hold no crop of 10 x 10"):
        Photos(pairs, crop=10)[0]
    put(pairs[1].target, 0, (5, 9))
    with pytest.raises(ImageError, match=r"7\.png: 12 x 9 pixels, but .*target/7\.png has 5 x 9"):
        Photos(pairs)[1]
    data = bytearray(pairs[2].input.read_bytes())
    data[-30] ^= 1  # damage that no header shows
    pairs[2].input.write_bytes(data)
    assert len(Paired(tmp_path, strict=False)) == 2
    with pytest.raises(ImageError, match=r"input/10\.png: cannot be decoded"):
        Photos(pairs)[2]


def test_options_that_cannot_be(numbered):
    with pytest.raises(ValueError, match="crop must be at least 1 pixel"):
        Photos(numbered, crop=0)
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        Photos(numbered, seed=-1)
    with pytest.raises(IndexError):
        Photos(numbered)[2]


def test_finding_photos_needs_no_torch():
    code = "import unfold.datasets, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
