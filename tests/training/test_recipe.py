"""Recipes: what is refused, how they are changed, and those that come with the library."""

import json

import pytest
import torch
from tiny_training import SYNTHESIS, photos, recipe, values

from unfold.cli import main
from unfold.datasets.photos import Photos
from unfold.training import TrainingError, parse_recipe, read_recipe, recipes
from unfold.training.phase import Phase
from unfold.training.stream import Stream, open_stream


def test_every_fault_is_told_with_its_path_before_data_are_touched():
    wrong = values(
        "no/such/folder",
        model={"kind": "jude-small", "J": 3, "prior": {"kind": "resunet", "widths": "x"}},
        losses=[{"loss": "l2"}, {"loss": "fft", "weight": -1}],
        phases=[{"steps": 0, "batch": 2, "crop": 16, "lr": 1e-3, "lrr": 1}],
        precision="fp8",
        data={"kind": "synthesized", "source": "x", "recipe": "lol-blurr"},
    )
    with pytest.raises(TrainingError) as told:
        parse_recipe(wrong)
    lines = [line.strip() for line in str(told.value).splitlines()]
    assert lines[0] == "recipe: 8 errors"
    assert sorted(line.partition(":")[0] for line in lines[1:]) == [
        "data.recipe", "losses.0.loss", "losses.1.weight", "model.J", "model.prior.widths",
        "phases.0.lrr", "phases.0.steps", "precision",
    ]  # fmt: skip
    assert any("did you mean lol-blur?" in line for line in lines)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": []}, "losses: paired data require at least one"),
        (
            {"losses": [{"loss": "l1"}, {"loss": "l1"}]},
            "each must have a different name, got l1, l1",
        ),
        ({"accumulation": 4}, "batch: 2 is no multiple of accumulation = 4"),
        (
            {"data": {"kind": "photos", "source": "a", "side": 8}},
            r"phases\.0\.crop: 16 does not fit into photos of side 8",
        ),
        ({"phases": []}, "phases: there must be at least one"),
        (
            {"data": {"kind": "unpaired", "input": "a", "target": "b"}},
            "adversary: unpaired data require an adversary",
        ),
        ({"phases": [{"steps": 1, "batch": 1, "crop": 8, "lr": 1, "schedule": "step"}]}, "halve"),
    ],
)
def test_what_does_not_hold_together(changes, message):
    with pytest.raises(TrainingError, match=message):
        parse_recipe(values("x", **changes))


def test_changes_reach_into_lists_and_components():
    found = read_recipe(
        "jude-small",
        {"data.source": "x", "phases.0.steps": 7, "model.K": 2, "losses.1.loss": "reblur"},
    )
    assert found.phases[0].steps == 7
    assert found.model.K == 2
    assert found.model.kind == "jude-small"
    assert [w.loss.kind for w in found.losses] == ["l1", "reblur"]
    assert found.losses[1].weight == 0.1


@pytest.mark.parametrize("path", ["phases.5.steps", "phases.x", "seed.deep"])
def test_changes_that_lead_nowhere(path):
    with pytest.raises(TrainingError, match="no such entry|errors?"):
        read_recipe("jude-small", {"data.source": "x", path: 1})


def test_judes_phases_are_the_papers():
    phases = read_recipe("jude", {"data.source": "x", "validation.data.source": "y"}).phases
    assert [(p.crop, p.batch, p.lr) for p in phases] == [
        (256, 12, 1e-4), (384, 8, 5e-5), (512, 4, 2.5e-5)
    ]  # fmt: skip
    pairs = 170 * 60
    assert [p.steps * p.batch / pairs for p in phases] == pytest.approx([300, 100, 100])
    assert all(p.lr_end == 1e-7 for p in phases)
    assert [len(p.extra) for p in phases] == [0, 0, 1]
    assert [p.start for p in phases] == ["last", "best", "best"]


@pytest.mark.parametrize("name", ["gone", "gone.toml"])
def test_recipes_that_are_not_there(name):
    with pytest.raises(TrainingError, match="no recipe 'gone'|No such file"):
        read_recipe(name)


def test_the_cosine_is_torchs():
    phase = Phase(steps=9, batch=1, crop=8, lr=0.3, lr_end=0.01)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 9, eta_min=0.01)
    for step in range(9):
        assert phase.rate(step) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()


def test_an_endless_stream_shows_everything_once_an_epoch(tmp_path):
    source = photos(tmp_path / "photos", scale=8)
    given = recipe(source)
    stream = open_stream(given.data, given.phases[0], 0)
    epochs = [[stream[3 * epoch + i] for i in range(3)] for epoch in range(4)]
    orders = [[item["name"] for item in epoch] for epoch in epochs]
    assert all(sorted(order) == sorted(orders[0]) for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    again = open_stream(given.data, given.phases[0], 0)
    assert torch.equal(again[10]["input"], epochs[3][1]["input"])
    other = open_stream(given.data, given.phases[0], 1)
    assert not torch.equal(other[10]["target"], epochs[3][1]["target"])


def test_extra_degradations_are_on_top_and_repeat(tmp_path):
    given = recipe(photos(tmp_path / "photos", scale=8))
    noisy = given.phases[0].model_copy(
        update={"extra": recipe("x", phases=[{"steps": 1, "batch": 1, "crop": 8, "lr": 1, "extra": [
            {"kind": "gaussian-noise", "sigma": [0.1, 0.1]}]}]).phases[0].extra}
    )  # fmt: skip
    clean, bad = (open_stream(given.data, phase, 0) for phase in (given.phases[0], noisy))
    difference = bad[5]["input"] - clean[5]["input"]
    assert 0.03 < difference.std() < 0.11  # clipped at black
    assert torch.equal(bad[5]["target"], clean[5]["target"])
    assert torch.equal(bad[5]["input"], bad[5]["input"])


def test_item_is_getitem_of_an_epoch(tmp_path):
    from unfold.datasets.plain import Unpaired
    from unfold.synthesis import SynthesizedPhotos
    from unfold.synthesis import parse_recipe as parse_synthesis

    source = photos(tmp_path / "photos", scale=8)
    for dataset in (
        Photos(Unpaired(source), crop=8, flip=True),
        SynthesizedPhotos(source, parse_synthesis(SYNTHESIS), crop=16),
    ):
        first = dataset.item(1, 4)["input"]
        assert not torch.equal(first, dataset[1]["input"])
        dataset.set_epoch(4)
        assert torch.equal(first, dataset[1]["input"])


def test_no_photos_no_stream():
    class Empty:
        def __len__(self):
            return 0

    with pytest.raises(ValueError, match="no photos"):
        Stream(Empty(), seed=0)


TOML = """
model = "identity"
about = "nothing to learn"
[data]
kind = "synthesized"
source = "SOURCE"
recipe = "deblur"
[[losses]]
loss = "l1"
[[phases]]
steps = 2
batch = 2
crop = 16
lr = 1e-3
"""


def test_the_command_trains_and_restore_uses_it(tmp_path, capsys):
    source = photos(tmp_path / "photos", scale=4)
    path = tmp_path / "mine.toml"
    path.write_text(TOML.replace("SOURCE", source.as_posix()))
    model = ["--set", "model=jude-small", "--set", "model.K=1"]
    model += ["--set", 'model.kernel_estimator={"kind": "kernel", "size": 5}']
    out = str(tmp_path / "run")
    command = ["train", str(path), *model, "-o", out, "--device", "cpu", "--workers", "0"]
    assert main([*command, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "parameters: " in said
    assert "initial losses: l1" in said
    assert not (tmp_path / "run" / "checkpoints").exists()
    assert (tmp_path / "run" / "dry-run.png").exists()
    assert main(command) == 0
    said = capsys.readouterr()
    assert "unfold restore --model" in said.out
    assert "step/s" not in said.err  # no bar, as this is no terminal
    photo, made = str(source / "coffee.png"), str(tmp_path / "out.png")
    assert main(["restore", photo, "-o", made, "--model", out, "--device", "cpu"]) == 0
    assert main([*command, "--set", "clip=0.5"]) == 2
    assert "clip: None -> 0.5" in capsys.readouterr().err


def test_the_command_tells_what_is_wrong(tmp_path, capsys):
    path = tmp_path / "mine.toml"
    path.write_text(TOML)
    assert main(["train", str(path), "-o", str(tmp_path / "run"), "--device", "cpu"]) == 2
    assert "identity has no parameters to train" in capsys.readouterr().err
    source = photos(tmp_path / "photos", scale=8)
    era = ["era-small", "--device", "cpu", "--workers", "1"]
    small = [*era, "--set", f"data.source={source}", "-o", str(tmp_path / "small")]
    data = {"kind": "paired", "dataset": "unpaired", "root": str(source)}
    apart = [*era, "--set", f"data={json.dumps(data)}", "-o", str(tmp_path / "apart")]
    for arguments, message in [
        (["era-smal"], "did you mean era-small?"),
        (["era-small"], "data.source: is required"),
        (["era-small", "--set", "data.source"], "must be KEY=VALUE"),
        (["era-small", "--set", "data.source=gone", "-o", str(tmp_path / "r")], "gone"),
        ([*small, "--dry-run"], "first batch cannot be made: "),
        (small, "below the crop of 64; the same command continues from"),
        ([*apart, "--dry-run"], "the photos have no targets"),
        (apart, "the photos have no targets"),
    ]:
        assert main(["train", *arguments]) == 2
        assert message in capsys.readouterr().err


def test_the_command_lists_and_shows(capsys):
    assert main(["list", "recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "(train)" in line] == recipes()
    with pytest.raises(SystemExit) as ended:
        main(["train", "--show", "era"])
    assert ended.value.code == 0
    assert 'loss = "reblur"' in capsys.readouterr().out
