"""``unfold restore`` within a budget."""

import re
from functools import partial

import pytest
import torch

from unfold.cli import main
from unfold.imaging import Photo, read, write
from unfold.restoration import TiledInference, batch

MODEL = ["--model", "jude-classic", "--set", "K=2"]


@pytest.fixture
def photo(tmp_path):
    from skimage.data import coffee

    path = tmp_path / "coffee.png"
    pixels = torch.from_numpy(coffee()[:192, 200:456].copy()).permute(2, 0, 1) / 255
    write(path, Photo(0.3 * pixels))
    return path


def test_tiles_and_their_seams(photo, tmp_path, capsys, monkeypatch):
    arguments = ["restore", str(photo), *MODEL, "--verify", "-o"]
    assert main([*arguments, str(tmp_path / "whole.png")]) == 0
    assert "coffee.png: restored without tiles, there are no seams" in capsys.readouterr().err
    monkeypatch.setattr(batch, "TiledInference", partial(TiledInference, tile=30_000))
    assert main([*arguments, str(tmp_path / "tiled.png")]) == 0
    told = capsys.readouterr().err
    assert re.search(r"coffee\.png: JUDE in [2-9] tiles of \d+×\d+, overlap \d+;", told)
    assert "seams differ by" in told
    whole, tiled = (read(tmp_path / f"{name}.png").image for name in ("whole", "tiled"))
    assert (whole - tiled).abs()[:, 16:-16, 16:-16].max() <= 1 / 255 + 1e-6


def test_a_budget_that_is_none(photo, capsys):
    with pytest.raises(SystemExit):
        main(["restore", str(photo), "-o", "out", "--memory", "much"])
    assert "'much' is not an amount of memory; write it as 2GiB" in capsys.readouterr().err


def test_a_budget_below_what_is_used_is_told(photo, tmp_path, capsys):
    out = tmp_path / "o.png"
    model = [*MODEL, "--set", "kernel_estimator=point"]
    assert main(["restore", str(photo), *model, "-o", str(out), "--memory", "9MiB"]) == 1
    assert "coffee.png: JUDE failed on 256×192 pixels" in capsys.readouterr().err
    assert not out.exists()
