"""Zero-DCE learns to brighten from dark photos alone."""

import csv

import pytest
import torch
from skimage.data import astronaut, chelsea, coffee, rocket

from unfold.imaging import Photo, read, write
from unfold.models.weights import load_model
from unfold.training import TrainingError, parse_recipe, read_recipe, train

LIGHT = 0.25


def tensor(picture):
    return torch.from_numpy(picture).permute(2, 0, 1).contiguous() / 255


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dark")
    for name, picture in {"astronaut": astronaut, "coffee": coffee, "rocket": rocket}.items():
        write(folder / f"{name}.png", Photo(LIGHT * tensor(picture())))
    return folder


def column(folder, name):
    with (folder / "losses.csv").open() as file:
        values = [float(row[name]) for row in csv.DictReader(file)]
    return sum(values[:5]) / 5, sum(values[-5:]) / 5


def test_it_learns_a_little_in_seconds(source, tmp_path):
    short = {"phases.0.steps": 25, "phases.0.batch": 2, "phases.0.crop": 32, "samples.every": 25}
    train(read_recipe("zero-dce-small", {"data.source": str(source), **short}), tmp_path)
    first, last = column(tmp_path, "exposure")
    assert last < 0.8 * first
    photo = LIGHT * tensor(chelsea())[None]
    with torch.inference_mode():
        made = load_model(tmp_path)(photo).image
    assert made.mean() > 1.5 * photo.mean()
    sheet = read(tmp_path / "samples" / "step-00000025.png").image
    assert sheet.shape[-1] == 32 * (2 + 8)  # input, output and eight curves; no target


@pytest.mark.slow
def test_zero_dce_small_reaches_its_exposure_in_half_a_minute(source, tmp_path):
    train(read_recipe("zero-dce-small", {"data.source": str(source)}), tmp_path)
    first, last = column(tmp_path, "exposure")
    assert last < first / 2
    photo = LIGHT * tensor(chelsea())[None]
    with torch.inference_mode():
        made = load_model(tmp_path)(photo).image
    assert made.mean() > 2 * photo.mean()
    assert abs(made.mean() - 0.6) < 0.15  # what it aims at, whatever the photo's own light was


def values(source, **changes):
    base = {
        "model": {"kind": "zero-dce", "width": 4},
        "data": {"kind": "photos", "source": str(source)},
        "losses": ["exposure"],
        "phases": [{"steps": 1, "batch": 1, "crop": 16, "lr": 1e-3}],
    }
    return base | changes


def test_photos_alone_have_no_target(source, tmp_path):
    losses = [{"loss": "exposure"}, {"loss": "l1"}]
    with pytest.raises(TrainingError, match="no picture 'target'; they have input"):
        train(parse_recipe(values(source, losses=losses)), tmp_path)


def test_photos_alone_are_checked(source):
    with pytest.raises(TrainingError, match=r"\n  data\.source: is required"):
        parse_recipe(values(source, losses=[{"loss": "exposure"}], data={"kind": "photos"}))
