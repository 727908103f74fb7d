"""A declared model in every command: explain, restore, bench, evaluate and train."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import coffee
from tiny_training import photos, values

import unfold
from unfold.cli import main
from unfold.cli._common import CommandError, parse_options
from unfold.degradation import motion_kernel
from unfold.imaging import Photo, read, write
from unfold.registry.config import read_config
from unfold.restoration import TiledInference, batch

EXAMPLES = Path(__file__).parents[2] / "examples"
JUDE, TV = EXAMPLES / "jude-classic.toml", EXAMPLES / "tv-deconvolution.toml"
NETWORK = {"kind": "resunet", "widths": [4], "residual": True}


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "coffee.png"
    pixels = torch.from_numpy(coffee()[:192, 200:456].copy()).permute(2, 0, 1) / 255
    write(path, Photo(0.3 * pixels))
    return path


@pytest.fixture
def learned(tmp_path):
    """A declaration with a small network as its prior and a learned weight, in JSON."""
    declared = read_config(TV) | {
        "stages": 2,
        "penalties": {"w": {"balances": "Z", "learned": True}},
    }
    declared["terms"][2]["prior"] = NETWORK
    path = tmp_path / "learned.json"
    path.write_text(json.dumps(declared))
    return path


def test_explain(capsys):
    assert (
        main(["explain", str(TV), "--set", "stages=3", "--set", "terms.2.prior.iterations=4"]) == 0
    )
    out = capsys.readouterr().out
    assert "½ ‖H⊗I − X‖²" in out
    assert "stages: 3" in out
    assert "image = Z" in out


def test_explain_of_a_faulty_declaration_tells_every_fault(tmp_path, capsys):
    path = tmp_path / "my.toml"
    text = TV.read_text().replace('"total-variation"', '"totl-variation"')
    path.write_text(text.replace('weight = "w"', "weight = -1"))
    assert main(["explain", str(path)]) == 2
    told = capsys.readouterr().err
    assert f"{path}: terms.1.weight: must be a number >= 0" in told
    assert "terms.2.prior: no prior named 'totl-variation'; did you mean total-variation?" in told


def test_options_of_a_list_are_set_by_their_index():
    options = {"terms": [{"prior": "ircnn"}, {"weight": 1}]}
    parse_options(["terms.0.prior.blocks=2", "terms.1.weight=3"], options)
    assert options == {"terms": [{"prior": {"kind": "ircnn", "blocks": 2}}, {"weight": 3}]}
    for bad in ("terms.2.weight=1", "terms.x=1", "terms.x.y=1"):
        with pytest.raises(CommandError, match="no such option"):
            parse_options([bad], options)


def test_restore_with_a_kernel(photo, tmp_path):
    np.save(tmp_path / "kernel.npy", motion_kernel(9)[0, 0].numpy())
    command = ["restore", str(photo), "--device", "cpu", "--kernel", str(tmp_path / "kernel.npy")]
    for model, few in (("jude-classic", "K=2"), (str(JUDE), "stages=2")):
        out = str(tmp_path / f"{few}.png")
        assert main([*command, "--model", model, "--set", few, "-o", out]) == 0
    own, declared = (read(tmp_path / f"{few}.png").image for few in ("K=2", "stages=2"))
    assert torch.equal(own, declared)


def test_restore_in_tiles_that_agree(photo, tmp_path, monkeypatch):
    command = ["restore", str(photo), "--device", "cpu", "--model", str(JUDE), "--set", "stages=2"]
    assert main([*command, "-o", str(tmp_path / "whole.png")]) == 0
    monkeypatch.setattr(batch, "TiledInference", partial(TiledInference, tile=30_000))
    assert main([*command, "-o", str(tmp_path / "tiled.png")]) == 0
    whole, tiled = (read(tmp_path / f"{n}.png").image for n in ("whole", "tiled"))
    assert (whole - tiled).abs()[:, 16:-16, 16:-16].max() <= 1 / 255 + 1e-6


def test_a_learned_declaration_is_not_restored_with_before_it_is_trained(photo, learned, capsys):
    assert main(["restore", str(photo), "--model", str(learned), "-o", "x.png"]) == 2
    assert "no trained weights" in capsys.readouterr().err


def test_bench(tmp_path, capsys):
    out = tmp_path / "rows.json"
    tiny = ["--size", "32", "--rounds", "1", "--device", "cpu", "--output", str(out)]
    assert main(["bench", "--model", str(TV), "--model", "identity", *tiny]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["name"] for row in rows] == [str(TV), "identity"]
    assert str(TV) in capsys.readouterr().out
    assert main(["bench", "--model", str(TV), "--group", "models", *tiny]) == 2
    assert "cannot be combined with --group" in capsys.readouterr().err


def test_evaluate(tmp_path, capsys):
    for folder, divisor in (("input", 2), ("target", 1)):
        (tmp_path / "data" / folder).mkdir(parents=True)
        array = coffee()[100:132, 50:90] // divisor
        Image.fromarray(array).save(tmp_path / "data" / folder / "0.png")
    command = ["evaluate", "--data", str(tmp_path / "data"), "--dataset", "paired", "--protocol",
               "gopro", "--device", "cpu"]  # fmt: skip
    for name, model in (("own", "jude-classic"), ("declared", str(JUDE))):
        report = ["-o", str(tmp_path / f"{name}.json")]
        assert main([*command, "--model", model, *report]) == 0
    own, declared = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("own", "declared"))
    assert declared["rows"][0]["values"] == own["rows"][0]["values"]
    assert declared["model"]["config"]["penalties"]["w2"]["value"] == 0.03
    assert (declared["model"]["learned"], declared["model"]["trained"]) == (False, False)


def test_train_by_a_recipe_that_names_the_file_then_restore_with_the_folder(
    photo, learned, tmp_path, capsys
):
    source = photos(tmp_path / "photos", ("coffee", "rocket"), scale=4)
    recipe = values(source, model=str(learned))
    recipe["data"]["kernel"] = 9
    recipe["phases"][0] |= {"steps": 2}
    lines = _toml(recipe)
    (tmp_path / "recipe.toml").write_text(lines)
    run = tmp_path / "run"
    train = ["train", str(tmp_path / "recipe.toml"), "-o", str(run), "--device", "cpu"]
    assert main([*train, "--workers", "0"]) == 0
    facts = json.loads((run / "model.json").read_text())
    assert facts["model"]["kind"] == "declared"
    assert facts["model"]["terms"][2]["prior"]["kind"] == "resunet"
    start = unfold.create_model(str(learned))
    model = unfold.create_model(str(run))
    assert not model.requires_training
    moved = model.hyper.learned.affine - start.hyper.learned.affine
    assert moved.abs().max() > 1e-5
    out = tmp_path / "out.png"
    learned.unlink()  # the folder needs it no more
    assert main(["restore", str(photo), "--model", str(run), "-o", str(out)]) == 0
    with torch.no_grad():
        want = model(read(photo).image[None]).image[0]
    assert (read(out).image - want).abs().max() <= 1 / 255


def _toml(recipe):
    """A recipe as TOML, whose inline values are much like JSON."""

    def inline(value):
        if isinstance(value, dict):
            return "{" + ", ".join(f"{k} = {inline(v)}" for k, v in value.items()) + "}"
        if isinstance(value, (list, tuple)):
            return "[" + ", ".join(map(inline, value)) + "]"
        return json.dumps(value)

    return "\n".join(f"{key} = {inline(value)}" for key, value in recipe.items())
