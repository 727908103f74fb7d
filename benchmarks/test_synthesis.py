"""Pairs made on the fly: how many 256×256 pairs one core makes in a second."""

import os
from pathlib import Path

import pytest
import torch
from skimage.data import astronaut

from unfold.imaging import Photo, write
from unfold.synthesis import SynthesizedPhotos, read_recipe


@pytest.fixture
def photos(tmp_path):
    data = os.environ.get("UNFOLD_DATA")
    if data:
        return Path(data) / "photos" / "bsds500" / "train"
    write(tmp_path / "a.jpg", Photo(torch.from_numpy(astronaut()).permute(2, 0, 1) / 255))
    return tmp_path


@pytest.mark.parametrize("recipe", ["lol-blur", "deblur", "defocus"])
def test_pairs_per_second_and_core(benchmark, photos, recipe):
    dataset = SynthesizedPhotos(photos, read_recipe(recipe), crop=256, length=10**6)
    items = iter(range(10**6))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        benchmark.pedantic(lambda: dataset[next(items)], rounds=40, warmup_rounds=3)
    finally:
        torch.set_num_threads(threads)
    benchmark.extra_info["pairs_per_second"] = 1 / benchmark.stats.stats.median
