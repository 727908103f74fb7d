"""Pairs on the fly: the same for any number of workers, other ones in each epoch."""

import pytest
import torch
from skimage.data import astronaut
from torch.utils.data import DataLoader

from unfold.degradation import blur
from unfold.imaging import ImageError, Photo, write
from unfold.synthesis import SynthesizedPhotos, parse_recipe

RECIPE = parse_recipe(
    {
        "steps": [
            {"degradation": {"kind": "camera-shake", "extent": [2, 4]}},
            {"degradation": "gaussian-noise", "saves": "bad"},
        ],
        "files": {},
        "input": "bad",
    }
)


@pytest.fixture
def photos(tmp_path):
    image = torch.from_numpy(astronaut()).permute(2, 0, 1) / 255
    write(tmp_path / "a.png", Photo(image[:, :120, :160].contiguous()))
    return tmp_path


def items(dataset, workers=0):
    return list(DataLoader(dataset, batch_size=None, num_workers=workers))


def test_items_depend_on_seed_epoch_and_index_alone(photos):
    dataset = SynthesizedPhotos(photos, RECIPE, crop=32, length=4, seed=1)
    first = items(dataset)
    assert len(first) == len(dataset) == 4
    for a, b in zip(first, items(dataset, workers=2), strict=True):
        assert a["name"] == b["name"]
        assert all(torch.equal(a[key], b[key]) for key in ("input", "target"))
    assert not torch.equal(first[0]["target"], first[1]["target"])
    dataset.set_epoch(1)
    assert not torch.equal(first[0]["input"], dataset[0]["input"])


def test_workers_that_stay_see_the_new_epoch(photos):
    dataset = SynthesizedPhotos(photos, RECIPE, crop=32, length=2)
    loader = DataLoader(dataset, batch_size=None, num_workers=1, persistent_workers=True)
    first = list(loader)
    dataset.set_epoch(1)
    assert not torch.equal(first[0]["input"], next(iter(loader))["input"])


def test_input_and_target_are_one_place_of_the_photo(photos):
    recipe = parse_recipe(
        RECIPE.model_dump()
        | {"steps": [{"degradation": {"kind": "gaussian-noise", "sigma": (0, 0)}, "saves": "bad"}]}
    )
    item = SynthesizedPhotos(photos, recipe, crop=32)[0]
    torch.testing.assert_close(item["input"], item["target"], atol=1e-6, rtol=0)
    assert item["input"].shape == (3, 32, 32)
    assert item["name"] == "a.png"


def test_the_margin_brings_in_what_lies_beyond_the_crop(photos):
    with_margin = SynthesizedPhotos(photos, RECIPE, crop=120, margin=20)[0]
    assert with_margin["input"].shape == (3, 120, 120)  # the photo is 120 high: no margin there


def test_what_cannot_be(photos, tmp_path):
    with pytest.raises(ValueError, match=r"a\.png is 160×120, below the crop of 256"):
        SynthesizedPhotos(photos, RECIPE)[0]
    for wrong in ({"crop": 0}, {"margin": -1}, {"length": 0}):
        with pytest.raises(ValueError, match="must be at least"):
            SynthesizedPhotos(photos, RECIPE, **wrong)
    with pytest.raises(TypeError, match="read_recipe"):
        SynthesizedPhotos(photos, "lol-blur")
    with pytest.raises(IndexError):
        SynthesizedPhotos(photos, RECIPE, crop=32)[1]
    with pytest.raises(ImageError, match="no such file|No such file"):
        SynthesizedPhotos(tmp_path / "gone", RECIPE)


def test_the_number_of_threads_changes_no_bit(photos):
    dataset = SynthesizedPhotos(photos, RECIPE, crop=96, length=3)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = [dataset[i]["input"] for i in range(3)]
        torch.set_num_threads(3)
        three = [dataset[i]["input"] for i in range(3)]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(one, three, strict=True))


BRANCHES = {
    "steps": [
        {"degradation": {"kind": "low-light", "exposure": [0.2, 0.2]}, "saves": "dark"},
        {"degradation": {"kind": "camera-shake", "extent": [2, 3]}, "saves": "blurred"},
        {"degradation": {"kind": "outliers", "density": [0.02, 0.02]}, "saves": "bad"},
        {"degradation": {"kind": "camera-shake", "extent": [9, 9]}, "of": "sharp", "saves": "b"},
    ],
    "files": {},
    "input": "bad",
    "transfer": "linear",
}


def test_further_pictures_are_those_that_the_recipe_saves(photos):
    recipe = parse_recipe(BRANCHES)
    plain = SynthesizedPhotos(photos, recipe, crop=48)[0]
    wanted = {"sharp-dark": "dark", "clean": "blurred", "other": "b", "again": "sharp"}
    item = SynthesizedPhotos(photos, recipe, crop=48, pictures=wanted)[0]
    assert set(item) == {"input", "target", "name", *wanted}
    assert torch.equal(item["input"], plain["input"])
    assert torch.equal(item["again"], item["target"])
    torch.testing.assert_close(item["sharp-dark"].mean() / item["target"].mean(),
                               torch.tensor(0.2), atol=0.05, rtol=0)  # fmt: skip
    assert not torch.equal(item["sharp-dark"], item["clean"])
    planted = item["input"] - item["clean"]
    changed = planted.ne(0).any(0).float().mean()
    assert 0.01 < changed < 0.4
    assert set(item["input"][planted != 0].tolist()) == {0.0, 1.0}


def test_the_true_kernel_can_be_kept_from_the_model(photos):
    recipe = parse_recipe(BRANCHES)
    known = SynthesizedPhotos(photos, recipe, crop=48, kernel_size=15)[0]
    hidden = SynthesizedPhotos(photos, recipe, crop=48, kernel_size=15, kernel_known=False)[0]
    assert set(known) - set(hidden) == {"kernel"}
    assert set(hidden) - set(known) == {"true-kernel"}
    assert torch.equal(known["kernel"], hidden["true-kernel"])


def test_the_kernel_is_that_of_the_input_alone(photos):
    """Blurs of other pictures are left out: the input's is what one blur of that seed makes."""
    recipe = parse_recipe(BRANCHES)
    assert recipe.steps_to("bad") == (0, 1, 2)
    assert recipe.steps_to("b") == (3,)
    assert recipe.steps_to("sharp") == ()
    pictures = {"dark": "dark", "blurred": "blurred"}
    item = SynthesizedPhotos(photos, recipe, crop=64, kernel_size=15, pictures=pictures)[0]
    again = blur(item["dark"][None].double(), item["kernel"][None].double())[0]
    inside = (slice(None), slice(8, -8), slice(8, -8))
    torch.testing.assert_close(again[inside].float(), item["blurred"][inside], atol=1e-5, rtol=0)


def test_pictures_that_cannot_be(photos):
    with pytest.raises(ValueError, match=r"pictures\.x: the recipe saves no picture 'c'; .* bad"):
        SynthesizedPhotos(photos, RECIPE, crop=32, pictures={"x": "c"})
    for taken in ("input", "target", "kernel", "true-kernel", "name"):
        with pytest.raises(ValueError, match=rf"pictures\.{taken}: the name is taken"):
            SynthesizedPhotos(photos, RECIPE, crop=32, pictures={taken: "bad"})


def test_a_wrong_kernel_is_told_of_the_same_photo(photos):
    recipe = parse_recipe(BRANCHES)
    true = SynthesizedPhotos(photos, recipe, crop=48, kernel_size=15)[0]
    wrong = SynthesizedPhotos(photos, recipe, crop=48, kernel_size=15, kernel_error=1.0)[0]
    assert torch.equal(true["input"], wrong["input"])
    assert torch.equal(true["target"], wrong["target"])
    assert not torch.equal(true["kernel"], wrong["kernel"])
    assert wrong["kernel"].sum().item() == pytest.approx(1, abs=1e-5)
    for options in ({}, {"kernel_size": 15, "kernel_known": False}):
        with pytest.raises(ValueError, match=r"kernel_error=0\.5: .* given no kernel"):
            SynthesizedPhotos(photos, recipe, crop=48, kernel_error=0.5, **options)
    with pytest.raises(ValueError, match=r"kernel_error=2: must be in \[0, 1\]"):
        SynthesizedPhotos(photos, recipe, crop=48, kernel_size=15, kernel_error=2)
