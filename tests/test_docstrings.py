"""Every public function and class has an example, and the examples give what they say."""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import unfold
from unfold.registry import GROUPS, load, scan
from unfold.registry.catalog import HOME

ROOT = Path(unfold.__file__).parent
SHOWN = sorted(p for p in ROOT.rglob("*.py") if ">>>" in p.read_text(encoding="utf-8"))
PUBLIC = sorted(p for p in ROOT.rglob("*.py") if "\n__all__ = " in p.read_text(encoding="utf-8"))


def name_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", SHOWN, ids=name_of)
def test_examples(path):
    """Each begins with an empty namespace, as a user does: it imports what it uses."""
    module = importlib.import_module(name_of(path))
    found = doctest.testmod(module, globs={}, optionflags=doctest.ELLIPSIS)
    assert found.attempted
    assert not found.failed


def has_example(thing, name):
    """Whether `test_examples` finds one in the docstring of the thing itself."""
    module = importlib.import_module(thing.__module__)
    found = doctest.DocTestFinder(recurse=False).find(thing, name, module)
    return any(test.examples for test in found)


@pytest.mark.parametrize("path", PUBLIC, ids=name_of)
def test_public_names_have_an_example(path):
    module = importlib.import_module(name_of(path))
    things = {name: getattr(module, name) for name in module.__all__}
    public = {n: x for n, x in things.items() if inspect.isclass(x) or inspect.isfunction(x)}
    assert not [name for name, thing in public.items() if not has_example(thing, name)]


@pytest.mark.parametrize("group", GROUPS)
def test_components_have_an_example(group):
    ours = [c for c in scan().components if (c.group, c.distribution) == (group, HOME)]
    assert ours
    assert not [c.name for c in ours if not has_example(load(c), c.name)]
