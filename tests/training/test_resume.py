"""A run that is killed, or stopped, goes on to the bits of one that never was."""

import json
import random
import signal
import time

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import apart, photos, recipe, values

from unfold.training import TrainingError, parse_recipe, train
from unfold.training import checkpoint as checkpoints

STEPS = 40
KILLS = 3


def long(source):
    """Two phases, with all that has a state: moments, averages, chance in the data, the best."""
    extra = [{"kind": "gaussian-noise", "sigma": [0.0, 0.05]}]
    return values(
        source,
        phases=[
            {"steps": 22, "batch": 2, "crop": 16, "lr": 1e-3},
            {"steps": STEPS - 22, "batch": 4, "crop": 8, "lr": 5e-4, "extra": extra},
        ],
        ema=0.9,
        accumulation=2,
        clip=1.0,
        checkpoint={"every": 4, "keep": 2},
        validation={
            "data": values(source)["data"], "every": 10, "crop": 16, "count": 2, "metrics": ["psnr"]
        },
    )  # fmt: skip


def start(given, folder, workers):
    return apart(lambda: 0 if train(parse_recipe(given), folder, workers=workers) else 3)


def rows(folder):
    path = folder / "losses.csv"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def results(folder):
    names = ("losses.csv", "validation.csv", "model.safetensors")
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    source = photos(folder / "photos", scale=8)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    assert train(parse_recipe(long(source)), folder / "run")
    torch.set_num_threads(threads)
    return source, results(folder / "run")


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_at_random_moments(unbroken, tmp_path, workers):
    source, wanted = unbroken
    chance = random.Random(workers + time.time_ns())
    killed = []
    for _ in range(KILLS):
        process = start(long(source), tmp_path, workers)
        goal = rows(tmp_path) + chance.randrange(1, STEPS // 3)
        while process.is_alive() and rows(tmp_path) < goal:
            time.sleep(0.001)
        time.sleep(chance.random() * 0.05)
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
    process = start(long(source), tmp_path, 0)
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


def test_checkpoints_that_are_kept(unbroken, tmp_path):
    source, _ = unbroken
    seen = []

    def begin(trainer):
        def watch(step, losses):
            seen.append((step, checkpoints.steps(tmp_path / "checkpoints"), dict(trainer.best)))

        return watch

    train(parse_recipe(long(source)), tmp_path, begin=begin)
    best = json.loads((tmp_path / "model.json").read_text())["training"]["best"]
    lines = (tmp_path / "validation.csv").read_text().splitlines()[1:]
    table = {int(step): float(value) for step, value in (line.split(",") for line in lines)}
    assert best["step"] == max(table, key=lambda step: table[step])
    there = checkpoints.steps(tmp_path / "checkpoints")
    assert set(there) == {STEPS - 4, STEPS, best["step"]}
    assert all(len(kept) <= 3 for _, kept, _ in seen)


@pytest.mark.parametrize(("best", "kept"), [(None, {6, 8}), (4, {4, 6, 8}), (8, {6, 8})])
def test_the_last_and_the_best_are_kept(tmp_path, best, kept):
    for step in (2, 4, 6, 8):
        facts = checkpoints.Checkpoint({"x": torch.ones(2)}, {"step": step})
        checkpoints.save(tmp_path, step, facts)
    (tmp_path / ".step-00000009.abcd.tmp").mkdir()  # left by a run that was killed
    checkpoints.prune(tmp_path, 2, best)
    assert {path.name for path in tmp_path.iterdir()} == {f"step-{k:08d}" for k in kept}


def test_another_recipe_is_refused_and_its_differences_are_told(tmp_path):
    source = photos(tmp_path / "photos", scale=8)
    train(recipe(source), tmp_path / "run")
    other = recipe(source, phases=[{"steps": 8, "batch": 2, "crop": 16, "lr": 2e-3}], clip=1.0)
    with pytest.raises(TrainingError) as told:
        train(other, tmp_path / "run")
    lines = str(told.value).splitlines()
    assert sorted(line.strip() for line in lines[1:-1]) == [
        "clip: None -> 1.0", "phases.0.lr: 0.001 -> 0.002", "phases.0.steps: 6 -> 8",
    ]  # fmt: skip
    assert train(other, tmp_path / "run", allow_changes=True)
    assert rows(tmp_path / "run") == 8 + 1


def test_damaged_checkpoints_are_told_of(tmp_path):
    source = photos(tmp_path / "photos", scale=8)
    train(recipe(source), tmp_path / "run")
    tensors = tmp_path / "run" / "checkpoints" / "step-00000006" / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-100])
    with pytest.raises(TrainingError, match=r"step-00000006: is damaged .* the one before"):
        train(recipe(source), tmp_path / "run")


def test_nothing_is_pickled(tmp_path):
    source = photos(tmp_path / "photos", scale=8)
    train(recipe(source), tmp_path / "run")
    place = tmp_path / "run" / "checkpoints" / "step-00000006"
    assert sorted(p.name for p in place.iterdir()) == ["state.json", "tensors.safetensors"]
    assert load_file(place / "tensors.safetensors")
    facts = json.loads((place / "state.json").read_text())
    assert facts["step"] == 6
    assert facts["versions"]["torch"] == torch.__version__


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    source = photos(tmp_path / "photos", scale=8)
    real, calls = checkpoints.save_file, []

    def full(tensors, path):
        calls.append(path)
        if len(calls) > 1:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device", str(path))
        real(tensors, path)

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(TrainingError, match=r"No space left on device; make room.*step 2 is kept"):
        train(recipe(source), tmp_path / "run")
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000002"]
    monkeypatch.undo()
    assert train(recipe(source), tmp_path / "run")
