"""What must work where the wheel alone is installed: ``python wheel_alone.py`` in an empty folder.

Recipes, weights, pages and the template are no Python: here it shows whether they came along.
"""

from pathlib import Path

import torch

import unfold
from unfold import synthesis, training
from unfold.cli import main
from unfold.imaging import Photo, read, write
from unfold.registry import scan


def check() -> None:
    """Raises AssertionError, or what a part that is missing raises."""
    here = Path.cwd().resolve()
    assert not Path(unfold.__file__).resolve().is_relative_to(Path(__file__).resolve().parents[1])
    assert {c.distribution for c in scan().components} == {"unfold-imaging"}
    for recipe in (*training.recipes(), *synthesis.recipes()):
        kind = training if recipe in training.recipes() else synthesis
        assert kind.recipe_text(recipe)
    assert {"jude-small", "shipped-jude-small"} <= set(training.recipes())
    assert "lol-blur" in synthesis.recipes()
    write(here / "photo.png", Photo(torch.rand(3, 64, 96)))
    for model in ("zero-dce", "deblur", "era-small", "jude-small"):
        target = here / f"{model}.png"
        assert main(["restore", "photo.png", "--model", model, "-o", str(target)]) == 0
        assert read(target).image.shape == (3, 64, 96)
    arguments = ["trace", "photo.png", "--model", "jude-classic", "--set", "K=2", "-o", "trace"]
    assert main(arguments) == 0
    assert "<html" in next((here / "trace").glob("*.html")).read_text(encoding="utf-8")
    assert main(["plugins", "new", "acme-prior", "-o", "."]) == 0
    assert "acme-prior" in (here / "acme-prior" / "pyproject.toml").read_text(encoding="utf-8")


if __name__ == "__main__":
    check()
    print("the wheel alone works")
