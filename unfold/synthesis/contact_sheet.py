"""A contact sheet: a few photos of a synthesized data set, for inspection."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from unfold.imaging import Photo, read

from .manifest import ManifestError, read_manifest
from .pipeline import Pipeline, from_json
from .recipe import SHARP, SynthesisRecipe, parse_recipe

_ROWS, _HEIGHT, _WIDTH, _GAP, _TITLE = 10, 180, 540, 4, 16
_REVERSE = "clipping-reverse"


def contact_sheet(folder: Path) -> Photo:
    """Ten evenly chosen photos of the data set, with a column for each picture of the recipe.

    If the recipe reverses clipping (of single photos), the last column shows the input without it,
    synthesized again from the numbers of the manifest, so that nothing else differs.

    Raises:
        ManifestError: if the folder contains no data set, or no photo of it.
        ImageError: if a file cannot be read.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.imaging import Photo, write
        >>> from unfold.synthesis import Synthesis, contact_sheet, parse_recipe
        >>> dark = {"degradation": "low-light", "saves": "dark"}
        >>> files = {"dark/{sequence}-{frame}.png": "dark", "{sequence}-{frame}.png": "sharp"}
        >>> recipe = parse_recipe({"steps": [dark], "files": files, "input": "dark"})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     source, output = Path(folder, "sharp.png"), Path(folder, "set")
        ...     write(source, Photo(torch.rand(3, 16, 16)))
        ...     made = list(Synthesis(source, output, recipe, count=2).run())
        ...     contact_sheet(output).image.shape
        torch.Size([3, 384, 368])
    """
    run, lines = read_manifest(folder)
    recipe = parse_recipe(run["recipe"])
    if not lines:
        raise ManifestError(f"{folder}: none of its photos was made")
    indices = sorted(lines)
    count = min(_ROWS, len(indices))
    chosen = [indices[i * len(indices) // count] for i in range(count)]
    pipeline = Pipeline(recipe)
    rows_of_tiles = [_tiles(folder, lines[index], pipeline) for index in chosen]
    names = list(rows_of_tiles[0])
    widths = {n: max(tiles[n].shape[-1] for tiles in rows_of_tiles) for n in names}
    titles = torch.cat([_title(n, widths[n]) for n in names], -1)
    body = [torch.cat([_pad(tiles[n], widths[n]) for n in names], -1) for tiles in rows_of_tiles]
    return Photo(torch.cat([titles, *body], -2))


def _tiles(folder: Path, line: dict, pipeline: Pipeline) -> dict[str, Tensor]:
    whole = {name: read(folder / path).image for path, name in line["files"].items()}
    tiles = {name: _small(whole[name]) for name in _order(pipeline.recipe, set(whole))}
    if _REVERSE in pipeline.kinds and SHARP in whole and pipeline.recipe.frames == 1:
        made = pipeline.make({SHARP: whole[SHARP][None]}, from_json(line["steps"]), omit=_REVERSE)
        title = f"{pipeline.recipe.input}, no {_REVERSE}"
        tiles[title] = _small(made[pipeline.recipe.input][0].clamp(0, 1))
    return tiles


def _order(recipe: SynthesisRecipe, kept: set[str]) -> list[str]:
    """In the order of synthesis."""
    names = [SHARP, *(step.saves for step in recipe.steps if step.saves)]
    return [name for name in names if name in kept]


def _small(image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    scale = min(_HEIGHT / height, _WIDTH / width)
    size = (max(1, round(scale * height)), max(1, round(scale * width)))
    tile = F.interpolate(image[None], size, mode="bicubic", antialias=True)[0].clamp(0, 1)
    return F.pad(tile, (0, 0, 0, _HEIGHT - size[0]), value=1.0)


def _pad(tile: Tensor, width: int) -> Tensor:
    return F.pad(tile, (0, width - tile.shape[-1] + _GAP, 0, _GAP), value=1.0)


def _title(text: str, width: int) -> Tensor:
    import numpy as np
    from PIL import Image, ImageDraw

    strip = Image.new("L", (width + _GAP, _TITLE), 255)
    ImageDraw.Draw(strip).text((2, 2), text, fill=0)
    return torch.from_numpy(np.array(strip, np.float32) / 255).expand(3, -1, -1)
