"""The recipe devudp-small: the unpaired game on dark, blurred photos and good ones of others."""

import csv
import math

import pytest
import torch
from skimage.data import astronaut, chelsea, coffee, rocket, stereo_motorcycle
from skimage.metrics import peak_signal_noise_ratio

from unfold.degradation import blur, motion_kernel
from unfold.imaging import Photo, write
from unfold.models.weights import load_model
from unfold.training import read_recipe, train


def tensor(picture):
    return torch.tensor(picture).permute(2, 0, 1)[None].float() / 255


def worsen(photos):
    return 0.25 * blur(photos, motion_kernel(7, generator=torch.Generator().manual_seed(1)))


def psnr(a, b):
    return peak_signal_noise_ratio(a.numpy(), b.numpy(), data_range=1)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Two dark, shaken photos, and two good ones of other scenes."""
    root = tmp_path_factory.mktemp("unpaired")
    bad = [worsen(tensor(picture)) for picture in (astronaut(), stereo_motorcycle()[0])]
    good = [tensor(rocket())[..., 100:, :], tensor(chelsea())]
    for name, scenes in {"bad": bad, "good": good}.items():
        (root / name).mkdir()
        for number, scene in enumerate(scenes):
            write(root / name / f"{number}.png", Photo(scene[0].clamp(0, 1).contiguous()))
    return {"data.input": str(root / "bad"), "data.target": str(root / "good")}


def records(folder):
    """Name -> values of all steps."""
    with (folder / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = {name: [float(row[name]) for row in rows] for name in rows[0]}
    assert all(math.isfinite(value) for values in found.values() for value in values)
    assert {"adversarial", "cycle", "discriminator", "gradient_discriminator"} <= set(found)
    return found


def test_the_game_stays_finite_and_reconstruction_falls_in_seconds(places, tmp_path):
    short = {"phases.0.steps": 20, "phases.0.crop": 32, "phases.0.batch": 1}
    train(read_recipe("devudp-small", {**places, **short}), tmp_path)
    cycle = records(tmp_path)["cycle"]
    assert sum(cycle[-5:]) < 0.8 * sum(cycle[:5])


@pytest.mark.slow
def test_the_game_stays_finite_keeps_content_and_brightens(places, tmp_path):
    train(read_recipe("devudp-small", places), tmp_path)
    cycle = records(tmp_path)["cycle"]
    assert sum(cycle[-10:]) < sum(cycle[:10]) / 2
    sharp = tensor(coffee())[..., 100:292, 100:292]
    held_out = worsen(sharp)
    with torch.inference_mode():
        made = load_model(tmp_path)(held_out).image
    assert made.mean() > 2 * held_out.mean()
    assert psnr(sharp, made) > psnr(sharp, held_out) + 1
