"""The recipes that come along: each reads, builds its model or names its plugin, and runs."""

import importlib.metadata
import shutil

import pytest
import torch
from tiny_training import photos

from unfold.cli import main
from unfold.restorer import Restorer
from unfold.training import TrainingError, parse_recipe, read_recipe, recipe_text, recipes

PLUGINS = {
    "devudp": "unfold-devudp",
    "devudp-dt": "unfold-devudp",
    "devudp-small": "unfold-devudp",
    "lednet": "unfold-lednet",
    "lednet-small": "unfold-lednet",
    "shipped-lednet-small": "unfold-lednet",
}
# What the recipes of weights that ship read, below the folder that they are started in.
LAYOUT = (
    "photos/bsds500/train",
    "photos/bsds500/val",
    "photos/debian_photos",
    "lowlight/sice_pairs/low",
    "lowlight/sice_pairs/high",
    "lowlight/lol_train18/low",
    "lowlight/lol_train18/high",
    "lol/train/low",
    "lol/train/high",
)


def places(name, folder):
    """Where the data of a recipe are; those of weights that ship know it."""
    if name.startswith("shipped-"):
        return {}
    if name == "jude":
        return {"data.source": str(folder), "validation.data.source": str(folder)}
    unpaired = 'kind = "unpaired"' in recipe_text(name)
    return {
        f"data.{key}": str(folder) for key in (("input", "target") if unpaired else ("source",))
    }


@pytest.fixture
def without(monkeypatch):
    """As if a distribution were not installed."""

    def hide(hidden):
        left = [d for d in importlib.metadata.distributions() if d.metadata["Name"] != hidden]
        monkeypatch.setattr(importlib.metadata, "distributions", lambda: iter(left))

    return hide


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """A file like torchvision's, with weights at random."""
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    from torchvision.models.vgg import cfgs, make_layers  # (takes seconds)

    features = make_layers(cfgs["E"][:15])  # up to conv4_4
    torch.save({f"features.{k}": v for k, v in features.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    """A folder with all of `LAYOUT`."""
    folder = tmp_path_factory.mktemp("layout")
    first, *others = (folder / place for place in LAYOUT)
    photos(first, scale=1)
    for place in others:
        shutil.copytree(first, place)
    return folder


@pytest.mark.parametrize("name", recipes())
def test_it_reads_and_its_model_builds(name):
    found = read_recipe(name, places(name, "x"))
    assert found.about
    assert parse_recipe(found.model_dump(mode="json")) == found
    assert isinstance(found.model.build(), Restorer)


@pytest.mark.parametrize(("name", "plugin"), PLUGINS.items())
def test_a_plugin_that_is_not_installed_is_named(name, plugin, without):
    without(plugin)
    with pytest.raises(TrainingError, match=f"model: .*it needs {plugin}: pip install {plugin}"):
        read_recipe(name, places(name, "x"))


@pytest.mark.parametrize("name", recipes())
def test_the_dry_run_of_its_command(name, source, laid_out, tmp_path, capsys, vgg, monkeypatch):
    monkeypatch.chdir(laid_out)
    crop = 64 if name == "lednet" else 32  # (of its side output, an eighth, VGG leaves a pixel)
    changes = places(name, source) | {
        "phases.0.crop": crop, "phases.0.batch": 1, "accumulation": 1
    }  # fmt: skip
    if name == "lednet":
        changes |= {"losses.1.loss.weights": vgg, "losses.3.loss.weights": vgg}
    arguments = [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]
    code = main(["train", name, "--dry-run", *arguments, "-o", str(tmp_path / "run")])
    told = capsys.readouterr()
    assert code == 0, told.err
    assert "initial losses: " in told.out
    assert "nan" not in told.out
    assert (tmp_path / "run" / "dry-run.png").exists()


def test_lednets_losses_and_schedule_are_the_papers():
    found = read_recipe("lednet", {"data.source": "x"})
    assert {w.title: w.weight for w in found.losses} == pytest.approx(
        {"l1": 1, "perceptual": 0.01, "l1-side": 0.8, "perceptual-side": 0.8 * 0.01}
    )
    assert {(w.loss.of, w.loss.scale) for w in found.losses} == {("image", 1), ("enhanced", 8)}
    (phase,) = found.phases
    assert (phase.steps, phase.batch, phase.crop, phase.lr) == (500_000, 8, 256, 1e-4)
    assert found.optimizer.betas == (0.9, 0.99)


def test_judes_gradient_is_not_clipped_as_in_the_paper():
    assert read_recipe("jude", places("jude", "x")).clip is None


@pytest.mark.parametrize("name", ["devudp", "devudp-dt"])
def test_devudps_balance_and_schedule_are_the_papers(name):
    found = read_recipe(name, places(name, "x"))
    given, (phase,) = found.adversary, found.phases
    assert given is not None
    # The paper's are of distances on [−1, 1], which are twice ours.
    assert (given.adversarial, given.cycle / 2, given.identity / 2) == (1, 10, 5)
    rates = [phase.rate(int((quarter + 0.5) * phase.steps / 4)) for quarter in range(4)]
    assert rates == pytest.approx([2e-4, 1e-4, 5e-5, 2.5e-5])
    assert phase.steps * phase.batch / 2103 == pytest.approx(200, rel=1e-3)
    assert found.data.side == 360  # GoPro's photos by half, before crops of 256
    assert found.model == given.backward


def test_zero_dces_weights():
    found = read_recipe("zero-dce", {"data.source": "x"})
    assert {w.title: w.weight for w in found.losses} == {
        "spatial-consistency": 1, "exposure": 10, "color-constancy": 5, "curve-smoothness": 200
    }  # fmt: skip
    (phase,) = found.phases
    assert phase.steps * phase.batch / 2422 == pytest.approx(200, rel=1e-3)
    assert phase.rate(0) == phase.rate(phase.steps - 1) == 1e-4
