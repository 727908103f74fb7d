"""Plugins import public names of the library only: those in the ``__all__`` of a module."""

import ast
import importlib
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
# Parts of the command that are installed separately; they are released together with it.
OURS = {"unfold-app", "unfold-onnx", "unfold-ray", "unfold-spandrel"}
OTHERS = sorted(p.name for p in PLUGINS.iterdir() if p.is_dir() and p.name not in OURS)


def imported(path):
    """``(module, name)`` of each import from the library."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "unfold":
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
            yield from ((n, "*") for n in names if n.startswith("unfold."))


def private(module, name):
    parts = module.split(".")
    public = getattr(importlib.import_module(module), "__all__", ())
    return name not in public or any(part.startswith("_") for part in parts)


@pytest.mark.parametrize("plugin", OTHERS)
def test_a_plugin_imports_public_names(plugin):
    files = [p for p in (PLUGINS / plugin).rglob("*.py") if "tests" not in p.parts]
    found = [(path.name, *what) for path in files for what in imported(path)]
    assert found
    assert not [(file, m, name) for file, m, name in found if private(m, name)]


def test_what_is_private():
    assert private("unfold._heap", "kept_heap")
    assert private("unfold.models.jude", "_penalties")
    assert not private("unfold.core", "Prior")
