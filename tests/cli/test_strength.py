"""``--strength``: one weight for the priors of whatever model is chosen."""

import json

import pytest
import torch
from PIL import Image
from skimage.data import coffee

from unfold.cli import main
from unfold.cli._common import model_spec
from unfold.imaging import read
from unfold.models.strength import with_strength
from unfold.models.weights import load_model, save_model
from unfold.registry.spec import resolve


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    noisy = torch.from_numpy(coffee()[:48, 100:148].copy()).float()
    noisy += 10 * torch.randn(noisy.shape, generator=torch.Generator().manual_seed(0))
    Image.fromarray(noisy.clamp(0, 255).byte().numpy()).save(path)
    return path


def restored(photo, out, *more, model="tv-deblur"):
    words = ["restore", str(photo), "-o", str(out), "--model", model, "--device", "cpu"]
    assert main([*words, *more]) == 0
    return read(out).image


def roughness(image):
    return image.diff(dim=-1).abs().mean() + image.diff(dim=-2).abs().mean()


def test_more_strength_restores_smoother(photo, tmp_path):
    weak, plain, strong = (
        restored(photo, tmp_path / f"{x}.png", "--strength", str(x)) for x in (0.3, 1, 3)
    )
    assert roughness(strong) < roughness(plain) < roughness(weak)
    by_set = restored(photo, tmp_path / "set.png", "--set", "strength=3")
    assert torch.equal(strong, by_set)
    assert torch.equal(plain, restored(photo, tmp_path / "default.png"))


def test_every_model_of_a_cascade_that_has_the_option_is_given_it():
    spec = model_spec("zero-dce -> tv-deblur -> plug-and-play", [], strength=2.0)
    assert [getattr(model, "strength", None) for model in spec.models] == [None, 2, 2]
    spec = model_spec("tv-deblur -> plug-and-play", ["2.strength=0.5"], strength=2.0)
    assert [model.strength for model in spec.models] == [2, 0.5], "--set is more specific"


def test_a_cascade_in_a_config_may_name_its_models():
    config = {"kind": "cascade", "models": ["identity", {"kind": "tv-deblur", "K": 3}]}
    assert with_strength(config, 2.0) == {
        "kind": "cascade",
        "models": ["identity", {"kind": "tv-deblur", "K": 3, "strength": 2.0}],
    }


def test_learned_weights_are_used_with_another_strength(tmp_path):
    spec = resolve("models", {"kind": "plug-and-play", "prior": "box", "K": 3})
    save_model(tmp_path / "m", spec.build().state_dict(), spec, needs={})
    config = model_spec(str(tmp_path / "m"), [], strength=2.0)
    assert config.options == {"strength": 2.0}
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    kernel = torch.ones(1, 1, 3, 3) / 9
    theirs = config.build()(image, kernel=kernel).image
    assert torch.equal(
        theirs, load_model(tmp_path / "m", {"strength": 2.0})(image, kernel=kernel).image
    )
    assert not torch.equal(theirs, load_model(tmp_path / "m")(image, kernel=kernel).image)


def test_a_cascade_with_learned_weights_is_changed_as_a_whole(tmp_path):
    spec = model_spec("identity -> tv-deblur", [])
    save_model(tmp_path / "m", spec.build().state_dict(), spec, needs={})
    config = with_strength({"kind": "trained", "folder": str(tmp_path / "m")}, 2.0)
    first, second = config["options"]["models"]
    assert first == {"kind": "identity"}
    assert second["strength"] == 2
    assert resolve("models", config).build()


@pytest.mark.parametrize("command", ["restore", "trace", "evaluate", "demo"])
@pytest.mark.parametrize("name", ["zero-dce", "identity -> zero-dce"])
def test_a_model_without_priors_is_refused(photo, tmp_path, capsys, command, name):
    words = {
        "restore": [str(photo), "-o", str(tmp_path / "out.png")],
        "trace": [str(photo), "-o", str(tmp_path / "out.png")],
        "evaluate": ["--data", str(tmp_path), "--dataset", "unpaired", "--protocol", "gopro"],
        "demo": ["-o", str(tmp_path / "out.png")],
    }[command]
    assert main([command, *words, "--model", name, "--strength", "2"]) == 2
    message = f"unfold: {name} has no priors whose weight can be changed: leave out --strength\n"
    assert capsys.readouterr().err == message
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("bad", ["0", "-1", "inf", "nan", "much"])
def test_a_strength_is_a_positive_number(photo, capsys, bad):
    with pytest.raises(SystemExit):
        main(["restore", str(photo), "-o", "out.png", f"--strength={bad}"])
    assert f"must be a positive number, got '{bad}'" in capsys.readouterr().err


def test_trace_and_evaluate_use_it(photo, tmp_path):
    for folder in ("input", "target"):
        (tmp_path / "set" / folder).mkdir(parents=True)
        Image.open(photo).save(tmp_path / "set" / folder / "0.png")
    report = tmp_path / "r.json"
    words = ["--model", "tv-deblur", "--device", "cpu", "--strength", "2.5", "--set", "K=2"]
    data = ["--data", str(tmp_path / "set"), "--dataset", "paired", "--protocol", "gopro"]
    assert main(["evaluate", *words, *data, "-o", str(report)]) == 0
    assert json.loads(report.read_text())["model"]["config"]["strength"] == 2.5
    assert main(["trace", str(photo), "-o", str(tmp_path / "trace"), *words]) == 0
