"""All that half an hour of a GPU is wanted for, in one command.

    python run.py --minutes 30 --photos photos.pack --wheels wheels -o OUT [--recipes NAME ...]

Runs the tests that need a GPU, the benchmarks on it, and the training of recipes, each within its
share of the time. One that fails leaves its message, and the next begins. OUT holds at most eight
files of at most 16 MiB: report.md and report.json, benchmarks.json, log.txt, and for each recipe
NAME.zip, with model.safetensors, model.json, the records of its training and its last samples.

It needs torch, numpy, einops and the wheels of wheels.txt, and no network. With --device cpu it
does the same on a CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LARGEST, MOST = 16 * 2**20, 8
RECIPES = ("shipped-jude-small", "shipped-deconv-small", "shipped-era-small")
TESTS = ("tests",)
BENCHMARKS = tuple(f"benchmarks/test_{name}.py" for name in ("degradations", "lednet", "cases"))
TESTING, BENCHMARKING, TRAINING = 1.0, 2.0, 4.0  # how the time is divided
OUTCOMES = {"failure": "failed", "error": "failed", "skipped": "skipped"}
TOLD = 4000  # characters of a phase's output that the report repeats


@dataclass
class Phase:
    """What became of one part of the run.

    Attributes:
        name: of the part.
        status: "ok"; "cut short" where its time was over; or "failed".
        seconds: that it took.
        message: of what failed.
        figures: what it found.
    """

    name: str
    status: str = "ok"
    seconds: float = 0.0
    message: str = ""
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """Where a run works.

    Attributes:
        out: for what is left.
        work: a folder for the rest.
        device: "cuda" or "cpu".
        environment: of the processes.
    """

    out: Path
    work: Path
    device: str
    environment: dict[str, str]


def main() -> int:
    given = arguments()
    end = time.monotonic() + 60 * given.minutes
    # (In the background Ctrl-C may be ignored, and would be by the processes that it is to end.)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    given.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        place = Place(given.output.resolve(), work, given.device, environment(work, given.wheels))
        photos = work / "photos"
        options = [f"--set={change}" for change in given.changes]
        options += [f"--steps={given.steps}"] if given.steps else []
        # Name, weight of its share of the time, and what is done.
        jobs: list[tuple[str, float, Callable[[Phase, float], None]]] = [
            ("tests", TESTING, lambda p, s: tests(p, s, place, given.tests)),
            ("benchmarks", BENCHMARKING, lambda p, s: benches(p, s, place, given.benchmarks)),
            ("photos", 0.0, lambda p, s: unpack(p, given.photos, photos)),
        ]
        for name in given.recipes:
            job = lambda p, s, n=name: training(p, s, place, photos, n, options)  # noqa: E731
            jobs.append((f"training {Path(name).stem}", TRAINING / len(given.recipes), job))
        phases: list[Phase] = []
        for number, (name, weight, job) in enumerate(jobs):
            rest = sum(other for _, other, _ in jobs[number:])
            phases.append(carried_out(name, max(0.0, end - time.monotonic()) * weight / rest, job))
            report(place, given.minutes, phases)  # what there is, whatever comes
    return int(any(phase.status == "failed" for phase in phases))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--photos", type=Path, required=True, help="made by pack.py")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--wheels", type=Path, help="a folder of wheels that are not installed")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--recipes", nargs="*", default=RECIPES, metavar="NAME")
    parser.add_argument("--tests", nargs="*", default=TESTS, metavar="PATH")
    parser.add_argument("--benchmarks", nargs="*", default=BENCHMARKS, metavar="PATH")
    parser.add_argument(
        "--steps", type=int, metavar="N", help="of each recipe at most: a rehearsal"
    )
    parser.add_argument(
        "--set", action="append", default=[], dest="changes", metavar="KEY=VALUE",
        help="a change of every recipe, e.g. phases.0.batch=32 (repeatable)",
    )  # fmt: skip
    given = parser.parse_args()
    if len(given.recipes) > MOST - 4:
        parser.error(f"more than {MOST - 4} recipes: what is left is at most {MOST} files")
    return given


def environment(work: Path, wheels: Path | None) -> dict[str, str]:
    """Variables by which Python finds unfold and, where wheels are given, those and what unfold and
    its plugins register."""
    paths = [str(ROOT)]
    if wheels is not None:
        site = work / "site"
        for wheel in sorted(wheels.glob("*.whl")):
            with zipfile.ZipFile(wheel) as file:
                file.extractall(site)
        for project in [ROOT, *sorted((ROOT / "plugins").iterdir())]:
            if (project / "pyproject.toml").is_file():
                register(project, site)
                paths.append(str(project))
        paths.append(str(site))
    paths += [path for path in [os.environ.get("PYTHONPATH")] if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def register(project: Path, site: Path) -> None:
    """Make a project known by the metadata that an installation would have left."""
    told = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    about = told.get("project")
    if not about:
        return
    # (A version that git's tags tell is not known here.)
    last = told.get("tool", {}).get("hatch", {}).get("version", {}).get("fallback-version", "0")
    name, version = about["name"], about.get("version", last)
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (folder / "METADATA").write_text(metadata, encoding="utf-8")
    groups = about.get("entry-points", {}).items()
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in e.items()) for group, e in groups]
    (folder / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")


def carried_out(name: str, seconds: float, job: Callable[[Phase, float], None]) -> Phase:
    """A phase: whatever fails in it is given, and ends it alone."""
    phase, begin = Phase(name), time.monotonic()
    print(f"{name}: {seconds:.0f} s", flush=True)
    try:
        job(phase, seconds)
    except Exception as error:
        phase.status = "failed"
        phase.message = f"{phase.message}\n{type(error).__name__}: {error}".strip()
    phase.seconds = time.monotonic() - begin
    return phase


def tests(phase: Phase, seconds: float, place: Place, paths: list[str]) -> None:
    """The tests that need a GPU. Modules that import what is not installed are named."""
    results = place.work / "tests.xml"
    command = ["pytest", *paths, "-q", "-k", "cuda or gpu", f"--junitxml={results}",
               "--continue-on-collection-errors", "-p", "no:cacheprovider"]  # fmt: skip
    process(phase, seconds, place, command, ROOT)
    found: dict[str, list[str]] = {"passed": [], "skipped": [], "failed": [], "not imported": []}
    for case in ElementTree.parse(results).iter("testcase"):
        found[outcome(case)].append(f"{case.get('classname')}::{case.get('name')}".strip(":"))
    passed, skipped = (len(found.pop(kind)) for kind in ("passed", "skipped"))
    phase.figures = {"passed": passed, "skipped": skipped, **found}
    if phase.status == "failed" and found["not imported"] and not found["failed"]:
        phase.status = "ok"


def outcome(case: ElementTree.Element) -> str:
    told = next((inner for inner in case if inner.tag in OUTCOMES), None)
    if told is None:
        return "passed"
    return "not imported" if told.get("message") == "collection failure" else OUTCOMES[told.tag]


def benches(phase: Phase, seconds: float, place: Place, paths: list[str]) -> None:
    """The benchmarks of the device, ratios against baselines."""
    results = place.out / "benchmarks.json"
    command = ["pytest", *paths, "-q", "--benchmark-only", "-k", place.device,
               f"--benchmark-json={results}", "-p", "no:cacheprovider"]  # fmt: skip
    process(phase, seconds, place, command, ROOT)
    rows = json.loads(results.read_text(encoding="utf-8"))["benchmarks"]
    phase.figures = {
        row["name"]: {"seconds": row["stats"]["median"], **row["extra_info"]} for row in rows
    }


def unpack(phase: Phase, pack: Path, photos: Path) -> None:
    with zipfile.ZipFile(pack) as file:
        file.extractall(photos)
        phase.figures = {"files": len(file.namelist()), "bytes": pack.stat().st_size}


def training(
    phase: Phase, seconds: float, place: Place, photos: Path, recipe: str, options: list[str]
) -> None:
    """The training of a recipe, and its weights."""
    name = Path(recipe).stem
    run = place.work / name
    recipe = str(Path(recipe).resolve()) if recipe.endswith(".toml") else recipe
    command = [str(HERE / "train.py"), recipe, "--seconds", str(seconds - 2 * grace(seconds)),
               "--device", place.device, "-o", str(run)]  # fmt: skip
    command += options
    process(phase, seconds, place, command, photos)
    phase.figures = json.loads((run / "figures.json").read_text(encoding="utf-8"))
    packed = place.work / f"{name}.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for path in [*run.glob("*.*"), *sorted(run.glob("samples/*"))[-1:]]:
            file.write(path, f"{name}/{path.relative_to(run).as_posix()}")
    if packed.stat().st_size > LARGEST:
        raise ValueError(f"{name}.zip has {packed.stat().st_size:,} bytes: it is left out")
    shutil.copy(packed, place.out)


def process(phase: Phase, seconds: float, place: Place, command: list[str], folder: Path) -> None:
    """Python with a command, asked to end in time and then made to; what it says goes to the log.

    Sets the phase's status and message where it fails.
    """
    python = [sys.executable, *(["-m"] if not command[0].endswith(".py") else [])]
    output = place.work / "output.txt"
    with output.open("wb") as file:
        child = subprocess.Popen(
            [*python, *command], cwd=folder, env=place.environment, stdin=subprocess.DEVNULL,
            stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        code = waited(child, seconds)
    said = output.read_text(encoding="utf-8", errors="replace")
    with (place.out / "log.txt").open("a", encoding="utf-8") as log:
        log.write(f"== {phase.name}: {' '.join(command)}\n{said[-LARGEST // (2 * MOST) :]}\n")
    if code is None:
        phase.status = "cut short"
    elif code:
        phase.status, phase.message = "failed", f"exit status {code}\n{said[-TOLD:]}"


def waited(child: subprocess.Popen, seconds: float) -> int | None:
    """Its exit status; None if it had to be asked to end, as Ctrl-C does, or made to."""
    try:
        return child.wait(seconds - grace(seconds))
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)
    try:
        child.wait(grace(seconds))
    except subprocess.TimeoutExpired:
        pass
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    return None


def grace(seconds: float) -> float:
    """Of a phase's time, what is left to begin, and to write what there is."""
    return min(15.0, 0.15 * seconds)


def report(place: Place, minutes: float, phases: list[Phase]) -> None:
    """Write report.json and report.md."""
    facts = {"minutes": minutes, **machine(place.device)}
    whole = {**facts, "phases": [asdict(phase) for phase in phases]}
    (place.out / "report.json").write_text(json.dumps(whole, indent=1), encoding="utf-8")
    lines = ["# Report", "", *(f"- {key}: {value}" for key, value in facts.items()), ""]
    lines += ["| phase | status | seconds |", "|---|---|---|"]
    lines += [f"| {p.name} | {p.status} | {p.seconds:.1f} |" for p in phases]
    for phase in phases:
        lines += ["", f"## {phase.name}", ""]
        lines += [f"- {name}: {_short(value)}" for name, value in phase.figures.items()]
        lines += ["```", phase.message, "```"] if phase.message else []
    (place.out / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def machine(device: str) -> dict[str, Any]:
    """What the figures were measured on."""
    import torch

    on_gpu = device == "cuda" and torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if on_gpu else f"cpu ({platform.machine()})",
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if on_gpu else None,
        "python": platform.python_version(),
    }


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(inner)}" for key, inner in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
