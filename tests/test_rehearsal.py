"""benchmarks/gpu, rehearsed on the CPU: packing, the four phases, and what they leave."""

import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from tiny_training import photos, values

from unfold.models.weights import load_model
from unfold.training import parse_recipe

GPU = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu"


def script(name):
    found = importlib.util.spec_from_file_location(f"gpu_{name}", GPU / f"{name}.py")
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses look there
    found.loader.exec_module(module)
    return module


pack, run, train = script("pack"), script("run"), script("train")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with a few photos, pairs of them, and LOL's scenes."""
    folder = tmp_path_factory.mktemp("data")
    names = ("astronaut", "coffee", "rocket", "chelsea")
    photos(folder / "photos" / "sharp", names, scale=4)
    for side in ("low", "high"):
        photos(folder / "lowlight" / "pairs" / side, names, scale=6)
        photos(folder / "lowlight" / "lol_train240" / side, names, scale=8)
    return folder


def recipe(folder, **changes):
    """A tiny recipe as a file, its photos where the pack has them."""
    made = parse_recipe(values("photos/sharp", **changes)).model_dump(mode="json")
    path = folder / "tiny.toml"
    path.write_text(
        "".join(f"{key} = {toml(value)}\n" for key, value in made.items() if value is not None),
        "utf-8",
    )
    return path


def toml(value):
    if isinstance(value, dict):
        inner = (f"{k} = {toml(v)}" for k, v in value.items() if v is not None)
        return "{ " + ", ".join(inner) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def test_a_pack_keeps_bytes_and_pairs_and_says_what_is_left_out(data, tmp_path):
    folders = ("photos/sharp", "lowlight/pairs", "lowlight/lol_train240")
    out = tmp_path / "a.pack"
    told = pack.pack(data, folders, out, 48 * 2**20)
    assert told[:3] == [f"{folder}: 4 of 4" for folder in folders]
    with zipfile.ZipFile(out) as file:
        names = set(file.namelist())
        for name in names - {n for n in names if n.startswith("lol/")}:
            assert file.read(name) == (data / name).read_bytes()
    assert {n for n in names if n.startswith("lol/val")} == {
        f"lol/val/{side}/astronaut.png" for side in ("low", "high")
    }
    assert len([n for n in names if n.startswith("lol/train")]) == 6

    whole = out.stat().st_size
    told = pack.pack(data, folders, out, whole // 2)
    assert out.stat().st_size <= whole // 2
    assert "left out" in told[0]
    with zipfile.ZipFile(out) as file:
        low, high = (
            {Path(n).name for n in file.namelist() if n.startswith(f"lowlight/pairs/{side}")}
            for side in ("low", "high")
        )
    assert low == high
    with pytest.raises(SystemExit, match="no room"):
        pack.pack(data, folders, out, 5000)
    assert not out.exists()
    with pytest.raises(SystemExit, match="no photos in nowhere"):
        pack.pack(data, ["nowhere"], out, 5000)


def test_every_folder_has_the_same_claim():
    assert pack.shares({"a": 10, "b": 100, "c": 90}, 110) == {"a": 10, "c": 50, "b": 50}
    assert pack.shares({"a": 10, "b": 20}, 100) == {"a": 10, "b": 20}


def test_of_too_many_photos_some_are_left_out_evenly(tmp_path):
    every = [[tmp_path / f"{i}"] for i in range(10)]
    for (path,) in every:
        path.write_bytes(bytes(1000))
    each = pack.size(every[0])
    assert pack.thinned(every, 5 * each) == every[::2]
    assert pack.thinned(every, 10 * each) == every
    assert pack.thinned(every, 0) == every[:1]


def test_a_recipe_is_fitted_to_its_time_and_ended_where_it_stands(data):
    phases = [
        {"steps": 60, "batch": 2, "crop": 16, "lr": 1e-3},
        {"steps": 30, "batch": 2, "crop": 16, "lr": 1e-3, "schedule": "step", "halve": 10},
    ]
    given = parse_recipe(values(data, phases=phases, checkpoint={"every": 20, "keep": 1}))
    longer = train.fitted(given, 900)
    assert [phase.steps for phase in longer.phases] == [600, 300]
    assert longer.phases[1].halve == 100
    assert longer.checkpoint.every == 200
    assert train.fitted(given, 1).steps == 2
    assert train.ended(given, 7).steps == 7
    assert train.parsed(["a.b=[1, 2]", "c=x"]) == {"a.b": [1, 2], "c": "x"}


def test_a_training_that_runs_out_of_time_keeps_its_weights(data, tmp_path, monkeypatch):
    monkeypatch.setattr(train, "fitted", lambda recipe, steps: recipe)  # it misjudges
    monkeypatch.setattr(train, "MEASURED", 2)
    phases = [{"steps": 10**6, "batch": 2, "crop": 16, "lr": 1e-3}]
    source = data / "photos" / "sharp"
    given = parse_recipe(values(source, phases=phases, on_device=True))
    figures = train.train_for(1.0, given, tmp_path / "run", "cpu")
    assert figures["schedule"] == "cut short"
    assert figures["steps"] >= 2
    facts = json.loads((tmp_path / "run" / "model.json").read_text())
    assert facts["training"]["steps"] == figures["steps"]
    load_model(tmp_path / "run")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Where these tests are shared among processes, the benchmarks in them need not know."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


def arguments(data, tmp_path, minutes, *more):
    pack.pack(data, ["photos/sharp"], tmp_path / "photos.pack", 2**20)
    made = recipe(tmp_path, phases=[{"steps": 40, "batch": 2, "crop": 16, "lr": 1e-3}])
    return ["--minutes", str(minutes), "--photos", str(tmp_path / "photos.pack"),
            "-o", str(tmp_path / "out"), "--device", "cpu", "--recipes", str(made),
            "--steps", "4", "--set", "phases.0.crop=24", *more]  # fmt: skip


def looked_at(out):
    """What every rehearsal must leave; the report's phases by name."""
    files = list(out.iterdir())
    left = {file.name for file in files} - {"benchmarks.json"}
    assert left == {"log.txt", "report.json", "report.md", "tiny.zip"}
    assert all(file.stat().st_size < run.LARGEST for file in files)
    whole = json.loads((out / "report.json").read_text())
    assert whole["torch"] == torch.__version__
    assert whole["device"].startswith("cpu")
    assert "| training tiny | ok |" in (out / "report.md").read_text()
    with zipfile.ZipFile(out / "tiny.zip") as file:
        file.extractall(out.parent / "found")
    model = load_model(out.parent / "found" / "tiny")
    assert model(torch.rand(1, 3, 24, 24)).image.shape == (1, 3, 24, 24)
    return {phase["name"]: phase for phase in whole["phases"]}


def test_a_rehearsal_on_the_cpu(data, tmp_path, monkeypatch):
    """The four phases; the first one fails, and the others go on."""
    (tmp_path / "test_cuda.py").write_text("def test_cuda(): assert False, 'as it should'\n")
    (tmp_path / "test_bench.py").write_text(
        "def test_cpu(benchmark):\n"
        "    benchmark.extra_info['ratio'] = 1.5\n"
        "    benchmark(sum, [])\n"
        "def test_cuda(benchmark): assert False\n"
    )
    options = ["--tests", str(tmp_path / "test_cuda.py")]
    options += ["--benchmarks", str(tmp_path / "test_bench.py")]
    monkeypatch.setattr(sys, "argv", ["run.py", *arguments(data, tmp_path, 5, *options)])
    assert run.main() == 1
    phases = looked_at(tmp_path / "out")
    assert list(phases) == ["tests", "benchmarks", "photos", "training tiny"]
    assert [p["status"] for p in phases.values()] == ["failed", "ok", "ok", "ok"]
    assert "as it should" in phases["tests"]["message"]
    assert len(phases["tests"]["figures"]["failed"]) == 1
    assert (tmp_path / "out" / "benchmarks.json").is_file()
    (row,) = phases["benchmarks"]["figures"].values()
    assert row["ratio"] == 1.5
    assert row["seconds"] > 0
    assert phases["photos"]["figures"]["files"] == 4
    figures = phases["training tiny"]["figures"]
    assert figures["steps"] == 4
    assert figures["photos_per_second"] > 0


@pytest.mark.slow
def test_a_minutes_rehearsal_of_everything(data, tmp_path):
    """The command itself, with its own tests and benchmarks, which are cut off in time."""
    command = [sys.executable, str(GPU / "run.py"), *arguments(data, tmp_path, 1)]
    done = subprocess.run(command, timeout=90, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    phases = looked_at(tmp_path / "out")
    assert phases["training tiny"]["figures"]["steps"] == 4
    assert sum(phase["seconds"] for phase in phases.values()) < 60
    # (A busy core makes no benchmark in 15 seconds.)
    made = (tmp_path / "out" / "benchmarks.json").exists()
    assert made == bool(phases["benchmarks"]["figures"])


def test_wheels_and_projects_are_found_without_being_installed(tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "acme-1.0-py3-none-any.whl", "w") as file:
        file.writestr("acme.py", "answer = 42\n")
    found = run.environment(tmp_path, wheels)
    code = (
        "import acme, importlib.metadata as m; "
        "assert acme.answer == 42; "
        "d = next(d for d in m.distributions(path=[{!r}]) if d.name == 'unfold-imaging'); "
        "print(d.version, len(d.entry_points), m.version('unfold-lednet'))"
    ).format(str(tmp_path / "site"))
    said = subprocess.run(
        [sys.executable, "-c", code], env=found, capture_output=True, text=True, check=True
    ).stdout.split()
    assert said[0] == "0.1.0"
    assert int(said[1]) > 50


def test_a_command_that_does_not_end_is_ended(tmp_path):
    place = run.Place(tmp_path, tmp_path, "cpu", run.environment(tmp_path, None))
    phase = run.Phase("sleep")
    (tmp_path / "sleep.py").write_text("import time; print('begun', flush=True); time.sleep(60)\n")
    run.process(phase, 3.0, place, [str(tmp_path / "sleep.py")], tmp_path)
    assert phase.status == "cut short"
    assert "begun" in (tmp_path / "log.txt").read_text()
