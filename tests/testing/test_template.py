"""What `unfold plugins new` writes is complete: it installs, and its tests pass at once."""

import importlib
import os
import sys
from xml.etree import ElementTree

import pytest
from distributions import install
from tiny_training import apart

from unfold.cli import main
from unfold.testing.template import TemplateError, write_plugin

GROUPS = ("priors", "terms", "models")


def test_new_plugins_pass_their_own_tests(tmp_path):
    """All in one process, forked: to start one takes as long as the tests."""
    folders = [begun(group, tmp_path) for group in GROUPS]
    report = tmp_path / "report.xml"

    def run():
        os.chdir(tmp_path)
        sys.path[:0] = map(str, folders)
        importlib.invalidate_caches()
        tests = [str(folder / "tests") for folder in folders]
        return pytest.main(["-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests])

    process = apart(run)
    process.join(timeout=120)
    assert process.exitcode == 0, report.read_text()
    found = ElementTree.parse(report).getroot()[0].attrib
    assert int(found["tests"]) - int(found["skipped"]) > 30


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
    text = (folder / "pyproject.toml").read_text()
    (line,) = [row for row in text.splitlines() if row.startswith(f"{name} = ")]
    install(folder, name, f"[unfold.{group}]\n{line.replace(chr(34), '')}\n", "0.1.0")
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
