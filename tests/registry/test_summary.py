"""First sentences of docstrings, read from source that is not imported."""

import pytest

from unfold.registry.summary import summary

SOURCE = '''"""Not this."""
raise AssertionError("imported")

TEXT = """
at the margin
"""

def plain(a, b={}):
    """Plain words.

    More.
    """

@decorated
def long(
    a,
    b,
) -> None:
    """A long signature, of e.g. two
    lines. `More` is said of it.
    """
    return """text
at the margin"""

class Outer:
    """Outer one."""

    def plain(self): "Inner."

def silent():
    pass

small = preset(Outer, "A small one.", K=2)
def last(): "The last."'''


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("plain", "Plain words."), ("long", "A long signature, of e.g. two lines."),
        ("Outer", "Outer one."),
        ("silent", ""), ("small", "A small one."), ("last", "The last."), ("gone", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["", "\n", "\n# at the end\n"])
def test_summaries(name, line, end, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "acme_summary.py").write_text(SOURCE + end)
    assert summary(f"acme_summary:{name}") == line
    (tmp_path / "acme_summary.py").write_text("def broken(:\n" + SOURCE)
    assert summary("acme_summary:gone") == ""
