"""Every example runs, and says what it promises."""

import runpy
from pathlib import Path

import pytest

from unfold.imaging import read

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
CHECKS = {
    "blind_deconvolution": lambda gain: gain > 4,
    "compose_a_solver": lambda gain: gain > 7,
    "hyperspectral": lambda gain: gain > 3,
    "missing_pixels": lambda least: least > 22,
    "plug_and_play": lambda gain: gain > 10,
    "poisson_noise": lambda gain: gain > 3,
    "unrolled_network": lambda gain: gain > 1.5,
    "train_darkening": lambda losses: sum(losses[-10:]) < 0.8 * sum(losses[:10]),
    "train_your_own": lambda gain: gain > 3,
    "write_a_prior": lambda gain: gain > 4,
    "watch_jude": lambda ledger: len(ledger.weights) == 20,
}
STEPS = {"train_your_own": 20}  # fewer than it takes by itself, where that takes long


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example(path, tmp_path, capsys):
    picture = tmp_path / "picture.png"
    options = {"steps": STEPS[path.stem]} if path.stem in STEPS else {}
    result = runpy.run_path(str(path))["main"](str(picture), **options)
    assert CHECKS[path.stem](result)
    assert read(picture).image.std() > 0.05
    assert "wrote" in capsys.readouterr().out


def test_the_readmes_python_runs(tmp_path, monkeypatch):
    """Each python block of the README, in order, in one namespace."""
    monkeypatch.chdir(tmp_path)
    text = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    blocks = [part.split("```")[0] for part in text.split("```python\n")[1:]]
    assert blocks
    namespace = {}
    for block in blocks:
        exec(block, namespace)
