"""Every example runs, and says what it promises."""

import ast
import importlib.util
import re
import sys
from pathlib import Path

import pytest

from unfold.imaging import read

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
CHECKS = {
    "blind_deconvolution": lambda gain: gain > 4,
    "compose_a_solver": lambda gain: gain > 7,
    "equilibrium": lambda gain: gain > 1.5,
    "hyperspectral": lambda gain: gain > 3,
    "missing_pixels": lambda least: least > 22,
    "plug_and_play": lambda gain: gain > 10,
    "poisson_noise": lambda gain: gain > 3,
    "unrolled_network": lambda gain: gain > 1.5,
    "train_darkening": lambda losses: sum(losses[-10:]) < 0.8 * sum(losses[:10]),
    "train_your_own": lambda gain: gain > 3,
    "write_a_prior": lambda gain: gain > 4,
    "watch_jude": lambda history: len(history.penalties) == 20,
}
STEPS = {
    "unrolled_network": 30,
    "equilibrium": 10,
    "train_your_own": 10,
}  # fewer than it takes by itself, where that takes long


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example(path, tmp_path, capsys, monkeypatch):
    picture = tmp_path / "picture.png"
    options = {"steps": STEPS[path.stem]} if path.stem in STEPS else {}
    spec = importlib.util.spec_from_file_location(path.stem, path)
    example = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, example)  # (what it pickles is found again)
    spec.loader.exec_module(example)
    result = example.main(str(picture), **options)
    assert CHECKS[path.stem](result)
    assert read(picture).image.std() > 0.05
    assert "wrote" in capsys.readouterr().out


LONGER = {"train_darkening", "train_your_own", "write_a_prior"}  # they hold a training, or a plugin


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_an_example_is_short(path):
    """Lines of code, without the docstring and empty lines."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()[ast.parse(text).body[0].end_lineno :]
    assert (sum(bool(line.strip()) for line in lines) < 40) != (path.stem in LONGER)


ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "examples" / "guide").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_python_of_a_page_runs(page, tmp_path, monkeypatch):
    """Each python block of the README and of the guide, in order, in one namespace a page."""
    monkeypatch.chdir(tmp_path)
    parts = page.read_text(encoding="utf-8").split("```python\n")[1:]
    namespace = {}
    for part in parts:
        exec(part.split("```")[0], namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_the_readme_is_one_screen():
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) <= 120


def test_the_guides_explanation_is_what_is_printed():
    import unfold as uf

    x, z = uf.blocks("x z")
    y, k = uf.data("y k")
    printed = uf.sq(uf.conv(k, x) - y) / 2 + 0.01 * uf.tv(z) + uf.constraint(x - z, "rho")
    guide = (ROOT / "examples" / "guide" / "compose.md").read_text(encoding="utf-8")
    assert printed.explain() in guide
    assert "\n".join(printed.explain().splitlines()[5:]) in PAGES[0].read_text(encoding="utf-8")
