"""What is no Python goes into the wheels, too."""

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
