"""Training on full disks, in read-only folders, in folders of others, and in those that vanish."""

import shutil

import pytest
import rights
from tiny_training import photos, recipe

from unfold.cli import main
from unfold.models.weights import load_model
from unfold.training import TrainingError, checkpoint, train

resource = pytest.importorskip("resource", reason="no quotas on this system")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("sources") / "photos", scale=8)


@pytest.fixture(scope="module")
def given(source):
    """Four steps; a checkpoint after each second."""
    return recipe(source, phases=[{"steps": 4, "batch": 2, "crop": 16, "lr": 1e-3}])


@pytest.fixture(scope="module")
def unbroken(given, tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    assert train(given, folder)
    return results(folder)


def results(folder):
    return {name: (folder / name).read_bytes() for name in ("losses.csv", "model.safetensors")}


def after(number, act):
    """What is called with the trainer, to act after a step."""

    def begin(trainer):
        return lambda step, losses: act() if step == number else None

    return begin


def whole(folder):
    """That the last checkpoint can be read, and nothing is there by halves."""
    there = checkpoint.steps(folder / "checkpoints")
    assert checkpoint.load(folder / "checkpoints", there[-1]).facts["step"] == there[-1]
    assert not [path for path in folder.rglob(".*") if path.name != ".unfold-training"]
    return there


@pytest.mark.parametrize("room", [0, 3000])  # for no row of the losses; for these, but no tensors
def test_a_full_disk_keeps_the_last_checkpoint(given, unbroken, room, tmp_path):
    """Told by the system, not by a function in its place: no file grows beyond the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    fill = after(3, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard)))
    try:
        with pytest.raises(TrainingError, match=r"has space, then run .* \(step 2 is kept\)"):
            train(given, tmp_path, begin=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert whole(tmp_path) == [2]
    assert train(given, tmp_path)
    assert results(tmp_path) == unbroken
    assert not load_model(tmp_path).requires_training


def test_a_folder_that_becomes_read_only_keeps_the_last_checkpoint(given, unbroken, tmp_path):
    kept = tmp_path / "checkpoints"
    with (
        rights.respected(),
        pytest.raises(TrainingError, match=r"Permission denied; .* \(step 2 is kept\)"),
    ):
        train(given, tmp_path, begin=after(3, lambda: kept.chmod(0o555)))
    assert whole(tmp_path) == [2]
    kept.chmod(0o755)
    assert train(given, tmp_path)
    assert results(tmp_path) == unbroken


def test_a_read_only_folder_is_told_before_anything_is_built(source, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir(mode=0o555)
    command = ["train", "jude-small", "--set", f"data.source={source}", "-o", str(out)]
    with rights.respected():
        for more in ([], ["--dry-run"]):
            assert main([*command, *more]) == 2
            said = capsys.readouterr().err
            assert said.startswith(f"unfold: {out}")
            assert "Permission denied" in said
    assert not list(out.iterdir())


def test_a_folder_with_files_of_others_is_refused(source, given, tmp_path, capsys):
    for name in ("losses.csv", "model.json", "dry-run.png"):
        (tmp_path / name).write_text("mine")
    with pytest.raises(TrainingError, match="holds other files; choose a new folder"):
        train(given, tmp_path)
    command = ["train", "jude-small", "--set", f"data.source={source}", "-o", str(tmp_path)]
    assert main([*command, "--dry-run"]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert len(list(tmp_path.iterdir())) == 3
    assert {path.read_text() for path in tmp_path.iterdir()} == {"mine"}


def test_a_folder_that_is_removed_is_told_and_what_was_learned_is_kept(given, unbroken, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(
        TrainingError, match=r"losses\.csv: was removed during the training; the new check"
    ):
        train(given, out, begin=after(3, lambda: shutil.rmtree(out)))
    assert whole(out) == [4]
    assert train(given, out)
    assert (out / "model.safetensors").read_bytes() == unbroken["model.safetensors"]


@pytest.mark.parametrize("how", ["removed", "unreadable"])
def test_photos_that_vanish_are_told_and_the_step_before_is_kept(
    source, given, unbroken, how, tmp_path
):
    moved = source.with_name("moved")
    if how == "removed":
        take, give = lambda: source.rename(moved), lambda: moved.rename(source)
    else:
        take, give = lambda: source.chmod(0), lambda: source.chmod(0o755)
    with (
        rights.respected(),
        pytest.raises(TrainingError, match=r"\.png.* continues from .*step-0+3"),
    ):
        train(given, tmp_path, begin=after(3, take))
    give()
    assert whole(tmp_path) == [2, 3]
    assert train(given, tmp_path)
    assert results(tmp_path) == unbroken
