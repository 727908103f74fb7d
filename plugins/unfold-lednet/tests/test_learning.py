"""The recipe lednet-small teaches: a held-out photo comes out better than it went in."""

import csv

import pytest
import torch
from skimage.data import astronaut, chelsea, coffee, rocket, stereo_motorcycle

from unfold.imaging import Photo, write
from unfold.metrics import PSNR
from unfold.models.weights import load_model
from unfold.synthesis import SynthesizedPhotos
from unfold.training import read_recipe, train

MARGIN = 3  # dB above the dark, shaken input
PICTURES = {"astronaut": astronaut, "chelsea": chelsea, "coffee": coffee, "rocket": rocket}


def save(path, picture):
    write(path, Photo(torch.from_numpy(picture).permute(2, 0, 1).contiguous() / 255))
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name, picture in PICTURES.items():
        save(folder / f"{name}.png", picture())
    return folder


def fall(folder, name):
    with (folder / "losses.csv").open() as file:
        values = [float(row[name]) for row in csv.DictReader(file)]
    return sum(values[-5:]) / sum(values[:5])


def test_losses_fall_in_seconds(source, tmp_path):
    short = {"phases.0.steps": 20, "phases.0.crop": 32, "phases.0.batch": 2}
    train(read_recipe("lednet-small", {"data.source": str(source), **short}), tmp_path)
    assert fall(tmp_path, "l1") < 0.9
    assert fall(tmp_path, "l1-side") < 0.9


@pytest.mark.slow
def test_it_learns_in_a_minute_of_two_cores(source, tmp_path):
    recipe = read_recipe("lednet-small", {"data.source": str(source)})
    run = tmp_path / "run"
    train(recipe, run)
    assert fall(run, "l1") < 0.6
    assert fall(run, "l1-side") < 0.6
    model, psnr = load_model(run), PSNR()
    held_out = save(tmp_path / "motorcycle.png", stereo_motorcycle()[0])
    scores = {"input": 0.0, "output": 0.0}
    pairs = SynthesizedPhotos(held_out, recipe.data.recipe, crop=128, length=6, seed=99)
    for pair in pairs:
        bad, good = pair["input"][None], pair["target"][None]
        with torch.inference_mode():
            scores["input"] += psnr(bad, good).item() / 6
            scores["output"] += psnr(model(bad).image, good).item() / 6
    assert scores["output"] > scores["input"] + MARGIN, scores
