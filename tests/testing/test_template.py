"""What `unfold plugins new` writes is complete: it installs, and its tests pass at once."""

import os
import subprocess
import sys

import pytest

from unfold.cli import main
from unfold.testing.template import TemplateError, write_plugin

GROUPS = ("priors", "terms", "models")


def test_new_plugins_pass_their_own_tests(tmp_path):
    """All in one process: to start one takes as long as the tests."""
    folders = [begun(group, tmp_path) for group in GROUPS]
    tests = [str(folder / "tests") for folder in folders]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def begun(group, place):
    """A new plugin's folder, as if it were installed."""
    name, package = f"Acme-{group}.2", f"acme_{group}_2"
    assert main(["plugins", "new", name, "-o", str(place), "--group", group]) == 0
    folder = place / name
    written = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert written == {
        "pyproject.toml", "README.md", ".github/workflows/test.yml",
        f"{package}/__init__.py", f"{package}/{group}.py", f"tests/test_{group}.py",
    }  # fmt: skip
    assert not any("template" in p.read_text() for p in folder.rglob("*") if p.is_file())
    # Metadata as pip would write it, beside the sources.
    info = folder / f"{package}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    text = (folder / "pyproject.toml").read_text()
    (line,) = [row for row in text.splitlines() if row.startswith(f"{name} = ")]
    (info / "entry_points.txt").write_text(f"[unfold.{group}]\n{line.replace(chr(34), '')}\n")
    return folder


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
