"""Scenes: sharp photos, or consecutive video frames, from which degraded photos are synthesized."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from unfold.imaging import ImageError, find_photos, read
from unfold.imaging.photo import shrink

from .recipe import SHARP

_DISPARITY = ".disparity"


@dataclass(frozen=True)
class Scene:
    """The files of one scene.

    Attributes:
        name: path of its (middle) photo, relative to the source folder.
        photos: one photo, or consecutive frames.
        disparity: the picture ``photo.disparity.png`` beside ``photo.jpg``; brighter is nearer.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.imaging import Photo, write
        >>> from unfold.synthesis import Scene
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(Path(folder, "street.png"), Photo(torch.rand(3, 16, 16)))
        ...     Scene("street.png", (Path(folder, "street.png"),)).read()["sharp"].shape
        torch.Size([3, 16, 16])
    """

    name: str
    photos: tuple[Path, ...]
    disparity: Path | None = None

    def read(self, inputs: Collection[str] = ()) -> dict[str, Tensor]:
        """``sharp`` and, if it is required and exists, ``disparity``, without the dimension of a
        batch.

        Raises:
            ImageError: if a file cannot be read, or frames differ in size.
        """
        frames = [read(photo).image for photo in self.photos]
        if len({frame.shape for frame in frames}) > 1:
            raise ImageError(f"{self.photos[0].parent}: frames differ in size")
        scene = {SHARP: frames[0] if len(frames) == 1 else torch.stack(frames)}
        if self.disparity is not None and _DISPARITY.strip(".") in inputs:
            disparity = read(self.disparity).image[:1]
            if disparity.shape[-2:] != frames[0].shape[-2:]:
                raise ImageError(f"{self.disparity}: differs in size from its photo; scale it")
            scene["disparity"] = disparity
        return scene


def find_scenes(source: Path, frames: int = 1, outside: Path | None = None) -> list[Scene]:
    """The scenes below a folder (or one photo), sorted by name.

    Args:
        source: folder of the photos, with subfolders.
        frames: number of frames of a scene. Above 1, their names end in consecutive numbers;
            scenes do not share frames.
        outside: a folder below ``source`` whose photos are ignored.

    Raises:
        ImageError: if there are none.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.imaging import Photo, write
        >>> from unfold.synthesis import find_scenes
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a1.png", "a2.png", "a3.png"):
        ...         write(Path(folder, name), Photo(torch.rand(3, 8, 8)))
        ...     len(find_scenes(Path(folder))), len(find_scenes(Path(folder), frames=3))
        (3, 1)
    """
    root = source if source.is_dir() else source.parent
    found = find_photos([source])
    if outside is not None and source.resolve() in outside.resolve().parents:
        found = [p for p in found if not p.resolve().is_relative_to(outside.resolve())]
    photos = [p for p in found if not p.stem.endswith(_DISPARITY)]
    disparities = {
        p.with_name(p.stem.removesuffix(_DISPARITY)): p
        for p in found
        if p.stem.endswith(_DISPARITY)
    }
    runs = [(p,) for p in photos] if frames == 1 else _runs(photos, frames)
    if not runs:
        what = "photographs" if frames == 1 else f"{frames} frames with consecutive numbers"
        raise ImageError(f"{source}: holds no {what}; name another folder")
    middles = [run[len(run) // 2] for run in runs]
    return [
        Scene(
            middle.relative_to(root).as_posix(), run, disparities.get(middle.with_name(middle.stem))
        )
        for middle, run in zip(middles, runs, strict=True)
    ]


def fit(
    scene: dict[str, Tensor], size: tuple[int, int] | None, generator: torch.Generator
) -> dict[str, Tensor]:
    """The scene scaled down until it just covers ``size``, and cropped at a random position.

    Smaller sides are not scaled up.
    """
    scene = shrunk(scene, size)
    return scene if size is None else cut(scene, size, generator)


def shrunk(scene: dict[str, Tensor], size: tuple[int, int] | None) -> dict[str, Tensor]:
    """The scene scaled down until it just covers ``size``."""
    height, width = scene[SHARP].shape[-2:]
    scale = 1.0 if size is None else max(size[0] / height, size[1] / width)
    if size is None or scale >= 1:
        return scene
    height, width = max(size[0], round(scale * height)), max(size[1], round(scale * width))
    return {name: shrink(x, (height, width)) for name, x in scene.items()}


def cut(
    scene: dict[str, Tensor], size: tuple[int, int], generator: torch.Generator
) -> dict[str, Tensor]:
    """The scene cropped to ``size`` at a random position; a smaller side is not cropped."""
    free = [max(0, n - s) for n, s in zip(scene[SHARP].shape[-2:], size, strict=True)]
    top, left = (int(torch.randint(n + 1, (), generator=generator)) for n in free)
    return {n: x[..., top : top + size[0], left : left + size[1]] for n, x in scene.items()}


def _runs(photos: Sequence[Path], frames: int) -> list[tuple[Path, ...]]:
    """Sequences of ``frames`` photos of one folder whose names end in consecutive numbers."""
    numbered = [(p.parent, *_number(p), p) for p in photos]
    numbered = sorted((folder, stem, n, p) for folder, stem, n, p in numbered if n is not None)
    found = []
    # Where numbers are consecutive, number minus position is constant.
    for _, run in groupby(enumerate(numbered), lambda e: (*e[1][:2], e[1][2] - e[0])):
        whole = [entry[-1] for _, entry in run]
        found += [tuple(whole[i : i + frames]) for i in range(0, len(whole) - frames + 1, frames)]
    return found


def _number(photo: Path) -> tuple[str, int | None]:
    match = re.fullmatch(r"(.*?)(\d+)", photo.stem)
    return (match[1], int(match[2])) if match else (photo.stem, None)
