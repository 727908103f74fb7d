"""Every exception that the library raises for its input is an `UnfoldError`."""

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path

import pytest

import unfold

_ROOT = Path(unfold.__file__).parents[1]
_PACKAGES = [_ROOT / "unfold", *sorted(_ROOT.glob("plugins/*/unfold_*"))]

# Built-in exceptions that are no errors of an input.
_ANYWHERE = {
    "AssertionError": "a failed check of the conformance kit, or a line that is never reached",
    "ImportError": "a package is not installed",
    "OSError": "a full disk",
}
_IN_METHODS = {  # by which Python learns that there is no such attribute or item
    "__getattr__": "AttributeError",
    "__getitem__": "IndexError",
    "items": "IndexError",
}
_IN_FILES = {
    ("unfold/benchmarking/startup.py", "RuntimeError"): "a benchmark's own code fails",
    ("unfold/training/trainer.py", "RuntimeError"): "the cause of a TrainingError",
}
_BUILTIN = {
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}


def raised(tree: ast.AST, function: str = "") -> Iterator[tuple[int, str, str]]:
    """Line, name and function of every class that is raised, or called to be raised later."""
    for node in ast.iter_child_nodes(tree):
        error = node.exc if isinstance(node, ast.Raise) else None
        error = node.func if isinstance(node, ast.Call) else error
        if isinstance(error, ast.Name):
            yield node.lineno, error.id, function
        inner = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        yield from raised(node, node.name if inner else function)


def plain(source: str, file: str) -> list[str]:
    """The built-in exceptions that a file raises and may not raise."""
    return [
        f"{file}:{line}: {error}"
        for line, error, function in raised(ast.parse(source))
        if error in _BUILTIN - _ANYWHERE.keys()
        and _IN_METHODS.get(function) != error
        and (file, error) not in _IN_FILES
    ]


@pytest.mark.parametrize("package", _PACKAGES, ids=lambda path: path.name)
def test_what_an_input_causes_is_an_unfold_error(package):
    files = list(package.rglob("*.py"))
    assert files
    found = (plain(p.read_text(encoding="utf-8"), str(p.relative_to(_ROOT))) for p in files)
    assert [each for errors in found for each in errors] == []


def test_a_plain_error_is_found():
    source = """
def read(x):
    if x: raise ValueError("x")
    raise KeyError
def __getattr__(name): raise AttributeError(name)
def made(): return MemoryError("x")
def other(): raise InputError("x")
"""
    lines = ["3: ValueError", "4: KeyError", "6: MemoryError"]
    assert plain(source, "a.py") == [f"a.py:{line}" for line in lines]


def test_no_exception_is_allowed_in_vain():
    everything = {
        (str(p.relative_to(_ROOT)), error)
        for package in _PACKAGES
        for p in package.rglob("*.py")
        for _, error, _ in raised(ast.parse(p.read_text(encoding="utf-8")))
    }
    assert _IN_FILES.keys() <= everything
    assert _ANYWHERE.keys() <= {error for _, error in everything}
