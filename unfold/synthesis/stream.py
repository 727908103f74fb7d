"""Bad photos made while a network trains on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from unfold.degradation.kernels import disturbed
from unfold.losses import TRUE_KERNEL

from .pipeline import Pipeline, one_thread, seeded
from .recipe import SHARP, Recipe
from .scenes import cut, find_scenes, fit


class SynthesizedPhotos(Dataset):
    """Pairs of a recipe, made anew in every epoch.

    Item ``i`` depends on ``(seed, epoch, i)`` alone, whatever process makes it. It is a mapping:
    ``input``, ``target`` and any further ``pictures``, ``(3, crop, crop)`` float32 in [0, 1];
    ``name``, the source's; and, where it is asked for, the blur's kernel, ``(1, kernel, kernel)``
    float32, sum 1: as ``kernel`` where a model is to be given it, else as ``true-kernel``.
    """

    def __init__(
        self,
        source: str | Path,
        recipe: Recipe,
        *,
        crop: int = 256,
        margin: int = 24,
        length: int | None = None,
        seed: int = 0,
        kernel: int | None = None,
        kernel_known: bool = True,
        kernel_error: float = 0.0,
        pictures: Mapping[str, str] | None = None,
    ) -> None:
        """Find the photos.

        Args:
            source: a folder of sharp photos (see `find_scenes`).
            recipe: what is done to them.
            crop: side of the pairs in pixels; no photo may be smaller, after the recipe's scaling.
            margin: how much more of the photo, where it has it, is degraded and cut off again, so
                that blur brings in what lies beyond the crop.
            length: items an epoch; by default one for each photo.
            seed: of all chance.
            kernel: side of the blur's kernel in the items; None: they have none.
            kernel_known: whether the kernel is called ``kernel``, which models are given, or
                ``true-kernel``, which only losses read.
            kernel_error: how wrong the kernel may be that models are given (see
                `unfold.degradation.kernels.disturbed`); 0: it is the true one.
            pictures: further pictures of the items: entry -> the name that the recipe saves it
                under, such as ``{"sharp-dark": "dark"}``.

        Raises:
            ImageError: no photos.
            ValueError, TypeError: a number below 1, a recipe that was not read, a picture that the
                recipe does not save, or, upon access, a blur that is wider than ``kernel``.
        """
        if not isinstance(recipe, Recipe):
            raise TypeError(f"recipe={recipe!r}: give a Recipe, as read_recipe('lol-blur') does")
        if crop < 1 or margin < 0 or (length is not None and length < 1):
            raise ValueError(
                f"crop={crop} and length={length} must be at least 1, margin={margin} at least 0"
            )
        if faults := recipe.picture_faults(pictures or {}):
            raise ValueError("; ".join(faults))
        self.scenes = find_scenes(Path(source), recipe.frames)
        self.recipe, self.pipeline = recipe, Pipeline(recipe)
        self.crop, self.margin, self.seed, self.kernel = crop, margin, seed, kernel
        if not 0 <= kernel_error <= 1 or (kernel_error and (kernel is None or not kernel_known)):
            raise ValueError(
                f"kernel_error={kernel_error}: must be in [0, 1], and 0 where models are given no "
                "kernel"
            )
        self.kernel_error = kernel_error
        self.kernel_name = "kernel" if kernel_known else TRUE_KERNEL
        self.pictures = {"input": recipe.input, "target": recipe.target, **(pictures or {})}
        self.length = len(self.scenes) if length is None else length
        # Shared memory: workers that live through epochs see the new one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Draw anew; the same epoch gives the same photos again."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.item(index, int(self._epoch))

    def item(self, index: int, epoch: int) -> dict[str, Any]:
        """Item ``index`` of any epoch, whichever was set."""
        if not 0 <= index < self.length:
            raise IndexError(f"item {index} of {self.length}")
        with one_thread():
            return self._make(index, seeded(self.seed, epoch, index))

    def _make(self, index: int, generator: torch.Generator) -> dict[str, Any]:
        scene = self.scenes[index % len(self.scenes)]
        pictures = fit(scene.read(self.pipeline.inputs), self.recipe.size, generator)
        height, width = pictures[SHARP].shape[-2:]
        if min(height, width) < self.crop:
            raise ValueError(f"{scene.name} is {width}×{height}, below the crop of {self.crop}")
        side = self.crop + 2 * self.margin
        pictures = cut(pictures, (side, side), generator)
        drawn = self.pipeline.draw(generator)
        made = self.pipeline.make({n: x[None] for n, x in pictures.items()}, drawn)
        top, left = ((n - self.crop) // 2 for n in pictures[SHARP].shape[-2:])
        rows, columns = slice(top, top + self.crop), slice(left, left + self.crop)
        item: dict[str, Any] = {
            entry: made[name][0, :, rows, columns].clamp(0, 1)
            for entry, name in self.pictures.items()
        }
        if self.kernel is not None:
            kernel = self.pipeline.kernel(drawn, self.kernel)
            if self.kernel_error:
                kernel = disturbed(kernel, self.kernel_error, generator)
            item[self.kernel_name] = kernel[0]
        return {**item, "name": scene.name}
