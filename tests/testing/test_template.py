"""What `unfold plugins new` writes is complete: it installs, and its tests pass at once."""

import os
import subprocess
import sys

import pytest

from unfold.cli import main
from unfold.testing.template import TemplateError, write_plugin


@pytest.mark.parametrize("group", ["priors", "terms", "models"])
def test_a_new_plugin_passes_its_own_tests(group, tmp_path):
    assert main(["plugins", "new", "Acme-Thing.2", "-o", str(tmp_path), "--group", group]) == 0
    folder = tmp_path / "Acme-Thing.2"
    written = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert written == {
        "pyproject.toml", "README.md", ".github/workflows/test.yml",
        "acme_thing_2/__init__.py", f"acme_thing_2/{group}.py", f"tests/test_{group}.py",
    }  # fmt: skip
    assert not any("template" in p.read_text() for p in folder.rglob("*") if p.is_file())
    # Metadata as pip would write it, beside the sources.
    info = folder / "acme_thing_2-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Acme-Thing.2\nVersion: 0.1.0\n")
    text = (folder / "pyproject.toml").read_text()
    (line,) = [row for row in text.splitlines() if row.startswith("Acme-Thing.2 = ")]
    (info / "entry_points.txt").write_text(f"[unfold.{group}]\n{line.replace(chr(34), '')}\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder / "tests")],
        capture_output=True, text=True, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


@pytest.mark.parametrize("name", ["", "-a", "3d", "a b", "../up", "unfold", "class", "é"])
def test_names_that_are_none(name, tmp_path):
    with pytest.raises(TemplateError, match="is no name|is taken"):
        write_plugin(name, "priors", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path, capsys):
    (tmp_path / "acme-prior").mkdir()
    assert main(["plugins", "new", "acme-prior", "-o", str(tmp_path)]) == 2
    assert "exists: choose another name" in capsys.readouterr().err
    assert list((tmp_path / "acme-prior").iterdir()) == []
