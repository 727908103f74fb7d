"""What is no Python goes into the wheels, too."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("project", "package"), [("", "unfold"), ("plugins/unfold-app", "unfold_app")]
)
def test_wheels_hold_all_files_of_their_package(project, package):
    builders = pytest.importorskip("hatchling.builders.wheel", reason="hatchling is not installed")
    builder = builders.WheelBuilder(str(ROOT / project))
    held = {Path(file.path).resolve() for file in builder.recurse_included_files()}
    wanted = {
        path for ending in ("html", "css", "toml", "json", "safetensors")
        for path in (ROOT / project / package).rglob(f"*.{ending}")
    }  # fmt: skip
    assert any(path.name.endswith(".html") for path in wanted)
    assert wanted <= held


@pytest.mark.slow
def test_the_wheel_alone_works(tmp_path):
    """Beside the packages installed here, without this project's own."""
    pytest.importorskip("hatch_vcs", reason="hatch-vcs is not installed")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    site, others, place = (tmp_path / name for name in ("site", "others", "place"))
    others.mkdir()
    place.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("unfold", "_unfold", "_editable")):
            (others / entry.name).symlink_to(entry)
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)], check=True)
    paths = os.pathsep.join(map(str, (site, others)))
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, "-S", str(ROOT / ".ci/wheel_alone.py")]
    alone = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert alone.returncode == 0, alone.stderr
    assert alone.stdout.endswith("the wheel alone works\n")
