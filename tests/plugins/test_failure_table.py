"""Real distributions, installed in an environment of their own, broken ones too.

| distribution   | what is wrong with it                      | what must happen                 |
|----------------|--------------------------------------------|----------------------------------|
| acme-good      | nothing                                    | listed, found by name, used      |
| acme-import    | its module imports what is not there       | broken alone; told when named    |
| acme-syntax    | a SyntaxError                              | the same                         |
| acme-type      | its entry point is no prior                | the same                         |
| acme-number    | its entry point is a number                | the same                         |
| acme-nowhere   | its entry point's attribute does not exist | the same                         |
| acme-abstract  | a prior without prox                       | the same                         |
| acme-signature | annotations that name nothing              | the same                         |
| acme-exit      | calls sys.exit at import                   | the same; the host lives         |
| acme-die       | ends the process at import                 | found by the check               |
| acme-hang      | sleeps at import                           | found by the check, at its limit |
| acme-noise     | prints and warns at import                 | works, the report is whole |
| acme-future    | was written for another unfold             | refused before it is imported    |
| acme-malformed | its entry_points.txt is no INI file        | lost alone, and named            |
| acme-bytes     | its entry_points.txt is not UTF-8          | the same                         |
| acme-nameless  | its METADATA has no name                   | the same                         |
| acme-command   | nothing: it brings a command               | listed, found by name, run       |
| acme-text      | its command is a text                      | broken alone; told when named    |
| acme-group     | registers in a group that does not exist   | named by the check               |
| acme-one, -two | both register "acme-shared"                | refused, `dist:name` chooses     |
| acme-shadow    | registers "resunet", a built-in            | the built-in stays               |
"""

import json
import os
import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from unfold.cli.plugins import _print_report

ROOT = Path(__file__).parents[2]
GOOD = (ROOT / "plugins/unfold-template/unfold_template/priors.py").read_text()

# distribution -> (module's text, entry points); the class of GOOD is called Ridge
DISTRIBUTIONS = {
    "acme-good": (GOOD, {"acme-good": "Ridge"}),
    "acme-import": ("import no_such_module", {"acme-import": "Ridge"}),
    "acme-syntax": ("def broken(:", {"acme-syntax": "Ridge"}),
    "acme-type": ("class Ridge: pass", {"acme-type": "Ridge"}),
    "acme-number": ("Ridge = 3", {"acme-number": "Ridge"}),
    "acme-nowhere": (GOOD, {"acme-nowhere": "Gone"}),
    "acme-abstract": (
        "from unfold.core import Prior\nclass Ridge(Prior): pass", {"acme-abstract": "Ridge"}
    ),
    "acme-signature": (
        "from unfold.core import Prior\nclass Ridge(Prior):\n"
        "    def __init__(self, *, width: 'Nothing' = 1): pass\n    def prox(self, v, step): pass",
        {"acme-signature": "Ridge"},
    ),
    "acme-exit": ("import sys; sys.exit(3)", {"acme-exit": "Ridge"}),
    "acme-die": ("import os; os._exit(7)", {"acme-die": "Ridge"}),
    "acme-hang": ("import time; time.sleep(600)", {"acme-hang": "Ridge"}),
    "acme-noise": (
        "import warnings; print('[\"noise\"]'); warnings.warn('noise')\n"
        + GOOD.replace("from __future__ import annotations\n", ""),
        {"acme-noise": "Ridge"},
    ),
    "acme-future": ("raise AssertionError('imported')", {"acme-future": "Ridge"}),
    "acme-malformed": (GOOD, {"acme-malformed": "Ridge"}),
    "acme-bytes": (GOOD, {"acme-bytes": "Ridge"}),
    "acme-nameless": (GOOD, {"acme-nameless": "Ridge"}),
    "acme-command": (
        "def add(parser):\n    'Greet.'\n"
        "    parser.set_defaults(run=lambda arguments: print('hello') or 7)",
        {"acme-command": "add"},
    ),
    "acme-text": ("add = 'text'", {"acme-text": "add"}),
    "acme-group": (GOOD, {"acme-group": "Ridge"}),
    "acme-one": (GOOD, {"acme-shared": "Ridge"}),
    "acme-two": (GOOD, {"acme-shared": "Ridge"}),
    "acme-shadow": (GOOD, {"resunet": "Ridge"}),
}  # fmt: skip
NEEDS = {"acme-future": "unfold-imaging>=9"}
GROUP = {
    "acme-group": "unfold.prior", "acme-command": "unfold.commands", "acme-text": "unfold.commands"
}  # fmt: skip


def write_wheel(folder, project):
    """A wheel, as a build backend would write it; building twenty takes most of a minute."""
    text, points = DISTRIBUTIONS[project]
    module = project.replace("-", "_")
    info = f"{module}-1.0.dist-info"
    lines = "\n".join(f"{name} = {module}:{attribute}" for name, attribute in points.items())
    needs = NEEDS.get(project, "unfold-imaging>=0.1,<0.2")
    files = {
        f"{module}/__init__.py": text,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n"
        f"Requires-Dist: {needs}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[{GROUP.get(project, 'unfold.priors')}]\n{lines}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    wheel = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return wheel


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """An environment with all of the table installed; it sees this one's torch and unfold."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("needs uv to build and install distributions")
    folder = tmp_path_factory.mktemp("scratch")
    environment = folder / "env"
    run([uv, "venv", "-q", "--python", sys.executable, str(environment)])
    packages = next(environment.glob("lib/python*/site-packages"))
    here = [*site.getsitepackages(), str(ROOT)]
    (packages / "here.pth").write_text("\n".join(here))
    wheels = [str(write_wheel(folder, project)) for project in DISTRIBUTIONS]
    python = environment / "bin" / "python"
    run([uv, "pip", "install", "-q", "--no-deps", "--python", str(python), *wheels])

    def info(project):
        return packages / f"{project.replace('-', '_')}-1.0.dist-info"

    (info("acme-malformed") / "entry_points.txt").write_text("[unfold.priors\nnonsense")
    (info("acme-bytes") / "entry_points.txt").write_bytes(b"[unfold.priors]\nx = \xff\xfe:Y\n")
    (info("acme-nameless") / "METADATA").write_text("Metadata-Version: 2.1\nVersion: 1.0\n")
    return python


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **options)
    assert done.returncode == 0, done.stderr
    return done


def unfold(python, *arguments, **environment):
    return subprocess.run(
        [str(python), "-m", "unfold", *arguments],
        capture_output=True, text=True, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip


def evaluate(python, code, **environment):
    return subprocess.run(
        [str(python), "-c", code],
        capture_output=True, text=True, timeout=300, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def verdicts(scratch):
    # (Left out: the plugins installed beside them, which import large libraries.)
    ours = {"UNFOLD_PLUGINS": ",".join(DISTRIBUTIONS)}
    done = unfold(scratch, "plugins", "check", "--json", "--seconds", "4", **ours)
    assert done.returncode == 1, done.stderr
    return {row["distribution"]: row for row in json.loads(done.stdout) if row["name"] != "x"}


BROKEN = {
    "acme-import": "No module named 'no_such_module'",
    "acme-syntax": "SyntaxError",
    "acme-type": "is not a subclass of unfold.core.Prior",
    "acme-number": "is int 3, not a class or function",
    "acme-nowhere": "has no attribute 'Gone'",
    "acme-abstract": "does not implement prox",
    "acme-signature": "name 'Nothing' is not defined",
    "acme-exit": "SystemExit: 3",
    "acme-die": "ends the process that imports it, with status 7",
    "acme-hang": "takes more than 4 s to import",
    "acme-future": "requires unfold-imaging>=9, and 0.1.0 is installed",
    "acme-text": "is str 'text', not a class or function",
    "acme-group": "is in an unknown group; groups are terms, priors",
}
SOUND = [
    "unfold-imaging", "acme-good", "acme-noise", "acme-command", "acme-one", "acme-two",
    "acme-shadow",
]  # fmt: skip
DAMAGED = ["acme_malformed-1.0", "acme_bytes-1.0", "acme_nameless-1.0"]


@pytest.mark.parametrize("project", BROKEN)
def test_the_check_says_what_is_wrong_with_it(verdicts, project):
    assert BROKEN[project] in verdicts[project]["error"]
    assert "\n" not in verdicts[project]["error"]


@pytest.mark.parametrize("project", SOUND)
def test_the_check_finds_nothing_wrong_with_it(verdicts, project):
    assert verdicts[project]["error"] == ""


@pytest.mark.parametrize("folder", DAMAGED)
def test_damaged_metadata_is_named(verdicts, folder):
    (row,) = [row for name, row in verdicts.items() if name.startswith(folder)]
    assert "metadata cannot be read" in row["error"]


def test_tracebacks_on_demand(scratch, verdicts, capsys):
    _print_report([verdicts["acme-import"]], tracebacks=False)
    plain = capsys.readouterr().out
    assert "No module named 'no_such_module'" in plain
    assert "Traceback" not in plain
    whole = unfold(scratch, "plugins", "check", "acme-import", "--traceback")
    assert whole.returncode == 1
    assert "Traceback" in whole.stdout
    assert "import no_such_module" in whole.stdout


def test_the_check_of_one(scratch):
    good = unfold(scratch, "plugins", "check", "acme-good")
    assert (good.returncode, "1 ok, 0 broken" in good.stdout) == (0, True)
    assert unfold(scratch, "plugins", "check", "acme-gone").returncode == 2


def test_listing_goes_on_and_tells_what_stands_in_the_way(scratch):
    done = unfold(scratch, "list", "--json")
    assert done.returncode == 0
    status = {(row["distribution"], row["name"]): row["status"] for row in json.loads(done.stdout)}
    assert status["acme-good", "acme-good"] == "ok"
    assert status["acme-import", "acme-import"] == "ok", "only importing it could tell"
    assert "requires unfold-imaging>=9" in status["acme-future", "acme-future"]
    assert status["acme-one", "acme-shared"] == "name taken: call it acme-one:acme-shared"
    assert status["acme-shadow", "resunet"] == "name taken: call it acme-shadow:resunet"
    assert status["unfold-imaging", "resunet"] == "ok"
    for folder in DAMAGED:
        assert f"unfold: {folder}" in done.stderr


def test_the_good_one_works_among_all_of_them(scratch):
    code = """
import unfold, torch
model = unfold.create_model("jude-small", K=1, prior={"kind": "acme-good", "center": 0.25})
assert model.stages.stages[0].lagrangian.priors["Z"].center == 0.25
assert model(torch.rand(1, 3, 16, 16)).image.shape == (1, 3, 16, 16)
assert type(unfold.create_model("jude-small", K=1).stages.stages[0].lagrangian.priors["Z"]
    ).__module__ == "unfold.priors.learned"
for name in ("acme-import", "acme-exit", "acme-future", "acme-shared", "acme-gone"):
    try:
        unfold.create_model("jude-small", prior=name)
    except ValueError as error:
        print(name, "->", error)
import sys
assert not {"acme_hang", "acme_die", "acme_one", "acme_future"} & set(sys.modules)
"""
    done = evaluate(scratch, code)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(" -> ", 1) for line in done.stdout.splitlines())
    assert "No module named 'no_such_module'" in said["acme-import"]
    assert "SystemExit: 3" in said["acme-exit"]
    assert "requires unfold-imaging>=9" in said["acme-future"]
    assert "choose acme-one:acme-shared, acme-two:acme-shared" in said["acme-shared"]
    assert "did you mean" in said["acme-gone"]


def test_a_command_runs_among_all_of_them(scratch):
    done = unfold(scratch, "acme-command")
    assert (done.returncode, done.stdout) == (7, "hello\n")
    told = unfold(scratch, "--help").stdout
    assert "acme-command" in told
    assert "greet\n" in told


@pytest.mark.slow
def test_every_command_works_meanwhile(scratch, tmp_path):
    done = unfold(scratch, "explain", "jude", "--set", "prior=acme-two:acme-shared", "--set", "K=1")
    assert (done.returncode, "Ridge" in done.stdout) == (0, True), done.stderr
    done = unfold(scratch, "explain", "jude", "--set", "prior.center=2", "--set", "prior=acme-good")
    assert done.returncode == 2
    assert "prior.center: must be less than or equal to 1" in done.stderr
    written = tmp_path / "schema.json"
    done = unfold(scratch, "schema", "--output", str(written), "--seconds", "4")
    assert done.returncode == 0, done.stderr
    priors = json.loads(written.read_text())["$defs"]["priors"]["anyOf"][0]["enum"]
    assert {"acme-good", "acme-one:acme-shared", "acme-shadow:resunet", "resunet"} <= set(priors)
    assert not {"acme-die", "acme-hang", "acme-import", "acme-future"} & set(priors)
    assert "acme-hang: takes more than 4 s to import" in done.stderr


def test_an_allow_list_limits_what_may_load(scratch):
    done = unfold(scratch, "list", "priors", "--json", UNFOLD_PLUGINS="acme-two, Acme_Good")
    status = {row["distribution"]: row["status"] for row in json.loads(done.stdout)}
    assert status["acme-good"] == status["acme-two"] == status["unfold-imaging"] == "ok"
    assert status["acme-one"].startswith("is not allowed: UNFOLD_PLUGINS=acme-two, Acme_Good")
    done = unfold(scratch, "plugins", "check", "acme-hang", UNFOLD_PLUGINS="none")
    assert "is not allowed: UNFOLD_PLUGINS=none leaves out acme-hang" in done.stdout
    code = "import unfold; unfold.create_model('jude-small', K=1, prior='acme-shared')"
    assert evaluate(scratch, code, UNFOLD_PLUGINS="acme-two").returncode == 0
    code = "from unfold.registry.catalog import find, load; load(find('priors', 'acme-good'))"
    denied = evaluate(scratch, code, UNFOLD_PLUGINS="none")
    assert "is not allowed" in denied.stderr


def test_the_outcome_is_the_same_for_every_hash_seed_and_order(scratch):
    code = """
import importlib.metadata, random, sys
real = list(importlib.metadata.distributions())
random.Random(int(sys.argv[1])).shuffle(real)
importlib.metadata.distributions = lambda: iter(real)
from unfold.registry import scan, find
print(scan())
try: find("priors", "acme-shared")
except ValueError as error: print(error)
print(find("priors", "resunet"))
"""
    seen = {
        subprocess.run(
            [str(scratch), "-c", code, seed],
            capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for seed in "0123"
    }  # fmt: skip
    assert len(seen) == 1
    assert "acme-one:acme-shared, acme-two:acme-shared" in seen.pop()
