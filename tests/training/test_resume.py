"""A run that is killed, or stopped, goes on to the bits of one that never was."""

import csv
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import CURVES, apart, photos, recipe, values

from unfold.cli import main
from unfold.training import TrainingError, parse_recipe, train
from unfold.training import checkpoint as checkpoints
from unfold.training.log import Records, Table

STEPS = 28
KILLS = 3


def long(source):
    """Two phases, with all that has a state: moments, averages, chance in the data, the best."""
    extra = [{"kind": "gaussian-noise", "sigma": [0.0, 0.05]}]
    return values(
        source,
        model=CURVES,
        phases=[
            {"steps": 14, "batch": 2, "crop": 16, "lr": 1e-3},
            {"steps": STEPS - 14, "batch": 4, "crop": 8, "lr": 5e-4, "extra": extra},
        ],
        ema=0.9,
        accumulation=2,
        clip=1.0,
        checkpoint={"every": 4, "keep": 2},
        validation={
            "data": values(source)["data"], "every": 10, "crop": 16, "count": 2, "metrics": ["psnr"]
        },
    )  # fmt: skip


def start(given, folder, workers, begin=None):
    return apart(
        lambda: 0 if train(parse_recipe(given), folder, workers=workers, begin=begin) else 3
    )


def test_one_training_a_folder(source, tmp_path):
    endless = long(source) | {"phases": [{"steps": 10**4, "batch": 2, "crop": 16, "lr": 1e-3}]}
    process = start(endless, tmp_path / "run", 2)
    while rows(tmp_path / "run") < 6:  # the header; a checkpoint comes after the fourth
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGSTOP)
    told = rf"run: process {process.pid} is training there; wait for it, or choose"
    with pytest.raises(TrainingError, match=told):
        train(parse_recipe(endless), tmp_path / "run")
    process.kill()
    process.join()
    short = recipe(source, phases=[{"steps": 1, "batch": 2, "crop": 16, "lr": 1e-3}])
    with pytest.raises(TrainingError, match="was started with another recipe"):
        train(short, tmp_path / "run")  # free at once, though workers may still end
    with pytest.raises(ValueError, match="nowhere"):
        train(recipe(tmp_path / "nowhere"), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def rows(folder):
    path = folder / "losses.csv"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def results(folder):
    names = ("losses.csv", "validation.csv", "model.safetensors")
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("source") / "photos", scale=8)


@pytest.fixture(scope="module")
def run(source, tmp_path_factory):
    """The folder of a run that was never stopped, and the checkpoints kept after each step."""
    folder, kept = tmp_path_factory.mktemp("unbroken"), []

    def begin(trainer):
        return lambda step, losses: kept.append(checkpoints.steps(folder / "checkpoints"))

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert train(parse_recipe(long(source)), folder, begin=begin)
    torch.set_num_threads(threads)
    return folder, kept


@pytest.fixture(scope="module")
def unbroken(source, run):
    return source, results(run[0])


@pytest.fixture(scope="module")
def trained(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "run"
    assert train(recipe(source), folder)
    return folder


@pytest.fixture
def begun(trained, tmp_path):
    """A run of the tiny recipe, complete; a copy to go on from or to damage."""
    return shutil.copytree(trained, tmp_path / "run")


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_random_moments(unbroken, tmp_path, workers):
    source, wanted = unbroken
    rng = random.Random(workers + time.time_ns())
    killed = []
    for _ in range(KILLS):
        process = start(long(source), tmp_path, workers)
        goal = rows(tmp_path) + rng.randrange(1, STEPS // 3)
        while process.is_alive() and rows(tmp_path) < goal:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.02)
        process.kill()  # SIGKILL
        process.join()
        killed.append(process.exitcode == -signal.SIGKILL)
        last = checkpoints.steps(tmp_path / "checkpoints")
    process = start(long(source), tmp_path, workers)
    process.join(timeout=120)
    assert process.exitcode == 0
    assert any(killed)
    for name, data in results(tmp_path).items():
        assert data == wanted[name], f"{name} differs, killed thrice; last kept {last}"
    assert not list((tmp_path / "checkpoints").glob(".*"))


def test_the_number_of_workers_changes_nothing(unbroken, tmp_path):
    source, wanted = unbroken
    torch.set_num_threads(1)
    assert train(parse_recipe(long(source)), tmp_path, workers=1)
    assert results(tmp_path) == wanted


def test_a_signal_stops_after_the_step_and_keeps_it(unbroken, tmp_path):
    source, wanted = unbroken

    def begin(trainer):
        def watch(step, losses):
            while step == STEPS - 4 and not trainer.stopping:  # were the signal so late
                time.sleep(0.001)

        return watch

    process = start(long(source), tmp_path, 0, begin)
    while process.is_alive() and rows(tmp_path) < 6:
        time.sleep(0.001)
    process.terminate()
    process.join(timeout=60)
    assert process.exitcode == 3
    (last,) = checkpoints.steps(tmp_path / "checkpoints")[-1:]
    assert rows(tmp_path) == last + 1  # and the heading
    process = start(long(source), tmp_path, 0)
    process.join(timeout=120)
    assert results(tmp_path) == wanted


def test_checkpoints_that_are_kept(run):
    folder, kept = run
    best = json.loads((folder / "model.json").read_text())["training"]["best"]
    lines = (folder / "validation.csv").read_text().splitlines()[1:]
    table = {int(step): float(value) for step, value in (line.split(",") for line in lines)}
    assert best["step"] == max(table, key=lambda step: table[step])
    assert set(checkpoints.steps(folder / "checkpoints")) == {STEPS - 4, STEPS, best["step"]}
    assert len(kept) == STEPS
    assert all(len(steps) <= 3 for steps in kept)


@pytest.mark.parametrize(("best", "kept"), [(None, {6, 8}), (4, {4, 6, 8}), (8, {6, 8})])
def test_the_last_and_the_best_are_kept(tmp_path, best, kept):
    for step in (2, 4, 6, 8):
        facts = checkpoints.Checkpoint({"x": torch.ones(2)}, {"step": step})
        checkpoints.save(tmp_path, step, facts)
    (tmp_path / ".step-00000009.abcd.tmp").mkdir()  # left by a run that was killed
    checkpoints.prune(tmp_path, 2, best)
    assert {path.name for path in tmp_path.iterdir()} == {f"step-{k:08d}" for k in kept}


def test_another_recipe_is_refused_and_its_differences_are_told(source, begun):
    other = recipe(source, phases=[{"steps": 8, "batch": 2, "crop": 16, "lr": 2e-3}], clip=1.0)
    with pytest.raises(TrainingError) as told:
        train(other, begun)
    lines = str(told.value).splitlines()
    assert sorted(line.strip() for line in lines[1:-1]) == [
        "clip: None -> 1.0", "phases.0.lr: 0.001 -> 0.002", "phases.0.steps: 6 -> 8",
    ]  # fmt: skip
    assert train(other, begun, allow_changes=True)
    assert rows(begun) == 8 + 1


def test_options_that_came_later_are_no_change_of_the_recipe(source, tmp_path):
    short = [{"steps": 2, "batch": 2, "crop": 16, "lr": 1e-3}]
    train(recipe(source, phases=short), tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "step-00000002" / "state.json"
    facts = json.loads(path.read_text())
    del facts["recipe"]["phases"][0]["start"], facts["recipe"]["data"]["pictures"]
    path.write_text(json.dumps(facts))
    assert train(recipe(source, phases=short), tmp_path / "run")
    with pytest.raises(TrainingError, match=r"\n  clip: None -> 1\.0\n"):
        train(recipe(source, phases=short, clip=1.0), tmp_path / "run")
    facts["recipe"]["phases"][0]["steps"] = "gone"
    path.write_text(json.dumps(facts))
    with pytest.raises(TrainingError, match=r"phases\.0\.steps: gone -> 2"):
        train(recipe(source, phases=short), tmp_path / "run")


def test_damaged_checkpoints_are_told_of(source, begun):
    tensors = begun / "checkpoints" / "step-00000006" / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    with pytest.raises(TrainingError, match=r"step-00000006: is damaged .* the previous one"):
        train(recipe(source), begun)


def test_nothing_is_pickled(begun):
    place = begun / "checkpoints" / "step-00000006"
    assert sorted(p.name for p in place.iterdir()) == ["state.json", "tensors.safetensors"]
    assert load_file(place / "tensors.safetensors")
    facts = json.loads((place / "state.json").read_text())
    assert facts["step"] == 6
    assert facts["versions"]["torch"] == torch.__version__


def test_a_full_disk_leaves_the_last_checkpoint(source, tmp_path, monkeypatch):
    real, calls = checkpoints.save_file, []

    def full(tensors, path):
        calls.append(path)
        if len(calls) > 1:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device", str(path))
        real(tensors, path)

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(
        TrainingError, match=r"No space left on device; .*has space, .*step 2 is kept"
    ):
        train(recipe(source), tmp_path / "run")
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000002"]
    monkeypatch.undo()
    assert train(recipe(source), tmp_path / "run")


def test_records_are_cut_back_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "losses.csv"
    table = Table(path, step=0)
    for step in (1, 2, 3):
        table.add(step, {"l1": step / 4})
    table.close()
    text = path.read_text()
    left = tmp_path / ".losses.csv.0123abcd.tmp"
    left.write_text("of a run that was killed")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        Table(path, step=2)
    assert path.read_text() == text
    monkeypatch.undo()
    Records(tmp_path, step=2, board=False).close()
    assert path.read_text() == "step,l1\n1,0.25\n2,0.5\n"
    assert not left.exists()


def test_a_loss_that_is_new_has_a_column_of_its_own(source, begun):
    losses = [{"loss": "l1"}, {"loss": "l1", "name": "again", "weight": 2.0}]
    longer = [{"steps": 8, "batch": 2, "crop": 16, "lr": 1e-3}]
    other = recipe(source, losses=losses, phases=longer)
    assert train(other, begun, allow_changes=True)
    with (begun / "losses.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [bool(row["again"]) for row in table] == [False] * 6 + [True] * 2
    assert [bool(row["fft"]) for row in table] == [True] * 6 + [False] * 2
    assert float(table[7]["again"]) == pytest.approx(2 * float(table[7]["l1"]))


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_a_checkpoint_that_is_removed_gives_its_room_back(source, begun):
    longer = recipe(source, phases=[{"steps": 8, "batch": 2, "crop": 16, "lr": 1e-3}])
    mapped = []

    def begin(trainer):
        maps = Path("/proc/self/maps").read_text()
        mapped.extend(line for line in maps.splitlines() if "step-00000006" in line)
        return lambda step, losses: None

    train(longer, begun, allow_changes=True, begin=begin)
    assert not mapped


@pytest.fixture
def handle():
    """Set what the process does on SIGINT. (What starts the tests may have it ignored.)"""
    before = signal.getsignal(signal.SIGINT)
    yield lambda handler: signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGINT, before)


def test_an_ignored_signal_stays_ignored(source, tmp_path, handle):
    """As that of a process in the background, when Ctrl-C is for the one in front."""
    handle(signal.SIG_IGN)

    def begin(trainer):
        return lambda step, losses: os.kill(os.getpid(), signal.SIGINT)

    assert train(recipe(source), tmp_path / "run", begin=begin)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_second_signal_stops_at_once(unbroken, tmp_path, handle):
    """As one must be able to when a step takes minutes; here the first is sent within a step."""
    source, wanted = unbroken
    handle(signal.default_int_handler)

    def begin(trainer):
        def watch(step, losses):
            if step == 6:
                os.kill(os.getpid(), signal.SIGINT)
                assert trainer.stopping
                os.kill(os.getpid(), signal.SIGINT)

        return watch

    torch.set_num_threads(1)
    with pytest.raises(KeyboardInterrupt):
        train(parse_recipe(long(source)), tmp_path, begin=begin)
    assert checkpoints.steps(tmp_path / "checkpoints") == [4]
    assert train(parse_recipe(long(source)), tmp_path)
    assert results(tmp_path) == wanted


def test_a_photo_to_measure_on_that_vanishes_loses_no_measurement(unbroken, tmp_path):
    source, wanted = unbroken
    moved = source.with_name("moved")

    def begin(trainer):
        return lambda step, losses: source.rename(moved) if step == 20 else None

    torch.set_num_threads(1)
    with pytest.raises(
        TrainingError, match=r"step 20: .*\.png.* continues from step-00000016"
    ) as told:
        train(parse_recipe(long(source)), tmp_path, begin=begin)
    assert "\n" not in str(told.value)
    moved.rename(source)
    assert train(parse_recipe(long(source)), tmp_path)
    assert results(tmp_path) == wanted


def test_the_command_tells_of_what_it_cannot_write(tmp_path, capsys):
    source = photos(tmp_path / "photos")
    place = tmp_path / "file"
    place.touch()
    command = ["train", "jude-small", "--set", f"data.source={source}", "--device", "cpu"]
    command += ["--set", "model.K=1", "--set", "phases.0.batch=1"]
    for more in ([], ["--dry-run"]):
        assert main([*command, "-o", str(place), *more]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"unfold: {place}: ")
        assert said.count("\n") == 1
