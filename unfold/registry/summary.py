"""The first sentence of a component's docstring, read from the source without an import."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path


def summary(target: str) -> str:
    """``module:attribute`` -> first sentence of its docstring; empty if there is none."""
    module, _, attribute = target.partition(":")
    source = _source(module.strip())
    if source is None:
        return ""
    try:
        body = _statements(source.read_text(encoding="utf-8"), attribute.strip())
    except (SyntaxError, ValueError, OSError):
        return ""
    for node in body:
        described = _described(node, attribute.strip())
        if described is not None:
            paragraph = " ".join(described.strip().partition("\n\n")[0].split())
            return re.split(r"(?<=\.) (?=[A-Z`])", paragraph)[0]
    return ""


def _statements(text: str, name: str) -> list[ast.stmt]:
    """The statement that defines a name, alone if possible, because parsing takes most of the time
    of a listing."""
    found = re.search(rf"^(?:class|def) {re.escape(name)}\b.*\n(?:(?:[ \t)].*)?\n)*", text, re.M)
    try:
        return ast.parse(found[0] if found else text).body
    except SyntaxError:  # a string in it has lines without indentation
        return ast.parse(text).body


def _described(node: ast.stmt, name: str) -> str | None:
    """The docstring of the name, if a statement defines it.

    For an assignment such as ``small = preset(Model, "A small model.", K=2)``, it is the first
    string in the call.
    """
    if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
        return ast.get_docstring(node) or ""
    if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)):
        return None
    if not any(isinstance(target, ast.Name) and target.id == name for target in node.targets):
        return None
    texts = [a.value for a in node.value.args if isinstance(a, ast.Constant)]
    return next((text for text in texts if isinstance(text, str)), "")


def _source(module: str) -> Path | None:
    """The path of a module's source. ``find_spec`` of a submodule would import its parents, so only
    the top package is searched, and the rest is a relative path."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin else None
    for root in spec.submodule_search_locations or ():
        path = Path(root, *rest)
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return candidate
    return None
