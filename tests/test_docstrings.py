"""The examples in docstrings give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

import unfold

ROOT = Path(unfold.__file__).parent
SHOWN = sorted(p for p in ROOT.rglob("*.py") if ">>>" in p.read_text(encoding="utf-8"))


def name_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", SHOWN, ids=name_of)
def test_examples(path):
    module = importlib.import_module(name_of(path))
    found = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert found.attempted
    assert not found.failed
