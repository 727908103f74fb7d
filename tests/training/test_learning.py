"""Training teaches: held-out photos come out better than they went in."""

import csv
import shutil

import pytest
import torch
from distributions import install
from skimage.data import stereo_motorcycle
from tiny_training import MODEL, photos

from unfold import ComponentError
from unfold.imaging import Photo, write
from unfold.metrics import PSNR
from unfold.models.weights import load_model
from unfold.synthesis import SynthesizedPhotos
from unfold.training import read_recipe, train

PSNR_ = PSNR()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    names = ("astronaut", "chelsea", "coffee", "rocket")
    return photos(tmp_path_factory.mktemp("photos"), names, scale=1)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    """Crops of a photo of another kind."""
    path = tmp_path_factory.mktemp("held-out") / "motorcycle.png"
    image = torch.from_numpy(stereo_motorcycle()[0]).permute(2, 0, 1) / 255
    write(path, Photo(image.contiguous()))
    return path


def totals(folder):
    with (folder / "losses.csv").open() as file:
        return [float(row["total"]) for row in csv.DictReader(file)]


def psnr(recipe, path, restore, count=6, crop=128):
    pairs = SynthesizedPhotos(path, recipe.data.recipe, crop=crop, length=count, seed=99)
    found = []
    for pair in pairs:
        with torch.inference_mode():
            made = restore(pair["input"][None])
        found.append(PSNR_(made, pair["target"][None]).item())
    return sum(found) / count


def learned(folder):
    model = load_model(folder)
    return lambda x: model(x).image


def short(name, source, **changes):
    small = {"data.source": str(source), "phases.0.steps": 30, "phases.0.crop": 24}
    return read_recipe(name, {**small, "model": {**MODEL, "kind": name}, **changes})


def test_jude_learns_a_little_in_seconds(source, held_out, tmp_path):
    # (Told of full exposure it would begin where this training is to come to.)
    model = {**MODEL, "kind": "jude-small", "exposure": None}
    recipe = short("jude-small", source, model=model)
    assert train(recipe, tmp_path)
    falling = totals(tmp_path)
    assert sum(falling[-10:]) < 0.7 * sum(falling[:10])
    before = psnr(recipe, held_out, lambda x: x, count=3, crop=64)
    assert psnr(recipe, held_out, learned(tmp_path), count=3, crop=64) > before + 3


def test_era_learns_a_little_in_seconds(source, held_out, tmp_path):
    model = {"kind": "era-small", "K": 1, "num_kernels": 1,
             "kernel_estimator": {"kind": "kernel", "size": 7},
             "prior": {"kind": "resunet", "widths": [8], "residual": True}}  # fmt: skip
    recipe = short("era-small", source, model=model)
    assert train(recipe, tmp_path)
    before = psnr(recipe, held_out, lambda x: x, count=3, crop=64)
    assert psnr(recipe, held_out, learned(tmp_path), count=3, crop=64) > before + 0.1


ACME = """
from torch import nn
from unfold.core import Prior

class Acme(Prior):
    def __init__(self, channels=3, *, width: int = 8):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(width, channels, 3, padding=1),
        )

    def prox(self, v, step):
        return v + self.net(v)
"""


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """An installed distribution that the library knows nothing of."""
    site = tmp_path / "site"
    points = "[unfold.priors]\nacme = acme_prior:Acme\n"
    info = install(site, "acme-prior", points, "0.2", acme_prior=ACME)
    monkeypatch.syspath_prepend(site)
    return info


def test_a_prior_from_a_plugin_trains_too(source, tmp_path, acme):
    """By its name alone: its parameters learn, and its weights say that they need it."""
    model = {**MODEL, "prior": {"kind": "acme", "width": 6}, "exposure": None}
    recipe = short("jude-small", source, model=model, **{"phases.0.steps": 40})
    first = {}

    def begin(trainer):
        first.update({n: p.detach().clone() for n, p in trainer.model.named_parameters()})
        return lambda step, losses: None

    run = tmp_path / "run"
    train(recipe, run, begin=begin)
    falling = totals(run)
    assert sum(falling[-10:]) < 0.8 * sum(falling[:10])
    last = dict(load_model(run).named_parameters())
    priors = [n for n in last if ".priors." in n]
    assert len(priors) == 2 * 4  # of Q and Z: two convolutions, weights and biases
    assert all(not torch.equal(last[n], first[n]) for n in priors)
    shutil.rmtree(acme)
    with pytest.raises(ComponentError, match=r"needs acme-prior>=0\.2"):
        load_model(run)


@pytest.mark.slow
def test_jude_small_learns_in_two_minutes_of_two_cores(source, held_out, tmp_path):
    recipe = read_recipe("jude-small", {"data.source": str(source)})
    assert train(recipe, tmp_path)
    restored = psnr(recipe, held_out, learned(tmp_path))
    assert restored > psnr(recipe, held_out, lambda x: x) + 3
    assert restored > psnr(recipe, held_out, lambda x: x ** (1 / 2.2)) + 3


@pytest.mark.slow
def test_era_small_learns_in_two_minutes_of_two_cores(source, held_out, tmp_path):
    recipe = read_recipe("era-small", {"data.source": str(source)})
    assert train(recipe, tmp_path)
    restored = psnr(recipe, held_out, learned(tmp_path))
    assert restored > psnr(recipe, held_out, lambda x: x) + 1
