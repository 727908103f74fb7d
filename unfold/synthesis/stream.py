"""Degraded photos that are synthesized during a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from unfold.datasets.photos import Kept, unit
from unfold.degradation.base import Parameters
from unfold.degradation.counter import counted
from unfold.degradation.kernels import disturbed
from unfold.degradation.rng import together
from unfold.errors import InputError, InputTypeError
from unfold.losses import TRUE_KERNEL

from .pipeline import Pipeline, one_thread, seeded
from .recipe import SHARP, SynthesisRecipe
from .scenes import Scene, cut, find_scenes, shrunk


class SynthesizedPhotos(Dataset):
    """Pairs that are synthesized by a recipe, with new random numbers in every epoch.

    Item ``i`` depends only on ``(seed, epoch, i)``, in any process. It is a mapping: ``input``,
    ``target`` and further ``pictures``, ``(3, crop, crop)`` float32 in [0, 1]; ``name``, that of
    the source; and, with a ``kernel_size``, the blur kernel, ``(1, n, n)`` float32, sum 1: as
    ``kernel`` if it is given to models, otherwise as ``true-kernel``.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.imaging import Photo, write
        >>> from unfold.synthesis import SynthesizedPhotos, read_recipe
        >>> recipe = read_recipe("deblur")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(Path(folder, "sharp.png"), Photo(torch.rand(3, 64, 64)))
        ...     item = SynthesizedPhotos(folder, recipe, crop=32, kernel_size=63)[0]
        >>> {name: tuple(value.shape) for name, value in item.items() if name != "name"}
        {'input': (3, 32, 32), 'target': (3, 32, 32), 'kernel': (1, 63, 63)}
    """

    def __init__(
        self,
        source: str | Path,
        recipe: SynthesisRecipe,
        *,
        crop: int = 256,
        margin: int = 24,
        length: int | None = None,
        seed: int = 0,
        kernel_size: int | None = None,
        kernel_known: bool = True,
        kernel_error: float = 0.0,
        pictures: Mapping[str, str] | None = None,
        kept: Kept | None = None,
    ) -> None:
        """Find the photos.

        Args:
            source: a folder of sharp photos (see `find_scenes`).
            recipe: the degradations.
            crop: side of the pairs in pixels; no photo may be smaller, after the recipe's scaling.
            margin: number of further pixels on each side, if the photo has them, that are degraded
                and then cut off, so that blur moves them into the crop.
            length: number of items in an epoch; by default one for each photo.
            seed: seed of all random numbers.
            kernel_size: side of the blur kernel in the items; None: they have no kernel.
            kernel_known: whether the kernel is called ``kernel``, which is given to models, or
                ``true-kernel``, which only losses read.
            kernel_error: size of random errors of the kernel that is given to models (see
                `unfold.degradation.kernels.disturbed`); 0: the true kernel.
            pictures: further pictures of the items: entry -> name under which the recipe saves
                it, such as ``{"sharp-dark": "dark"}``.
            kept: cache of the photos on a device, with 8 bits. Items are then synthesized there, in
                batches, with noise that is drawn there (see
                `unfold.degradation.counter.counted`). None reads the files each time.

        Raises:
            ImageError: if there are no photos.
            ValueError, TypeError: if a number is below 1, the recipe was not read, a picture is not
                saved by the recipe, or (on access) a blur is wider than ``kernel_size``.
        """
        if not isinstance(recipe, SynthesisRecipe):
            raise InputTypeError(
                f"recipe={recipe!r}: give a Recipe, as read_recipe('lol-blur') does"
            )
        if crop < 1 or margin < 0 or (length is not None and length < 1):
            raise InputError(
                f"crop={crop} and length={length} must be at least 1, margin={margin} at least 0"
            )
        if errors := recipe.picture_errors(pictures or {}):
            raise InputError("; ".join(errors))
        self.scenes = find_scenes(Path(source), recipe.frames)
        self.recipe, self.pipeline = recipe, Pipeline(recipe)
        self.crop, self.margin, self.seed, self.kernel_size = crop, margin, seed, kernel_size
        if not 0 <= kernel_error <= 1 or (
            kernel_error and (kernel_size is None or not kernel_known)
        ):
            raise InputError(
                f"kernel_error={kernel_error}: must be in [0, 1], and 0 where models are given no "
                "kernel"
            )
        self.kernel_error = kernel_error
        self.kernel_name = "kernel" if kernel_known else TRUE_KERNEL
        self.pictures = {"input": recipe.input, "target": recipe.target, **(pictures or {})}
        self.length = len(self.scenes) if length is None else length
        self.kept = kept
        # Shared memory: workers that live through epochs see the new one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the random numbers. The same epoch gives the same photos."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.item(index, int(self._epoch))

    def item(self, index: int, epoch: int) -> dict[str, Any]:
        """Item ``index`` of the given epoch, regardless of `set_epoch`."""
        return self.items([(index, epoch)])[0]

    def items(self, places: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        """Several items, given by index and epoch. Items of one size are synthesized together."""
        if wrong := [index for index, _ in places if not 0 <= index < self.length]:
            raise IndexError(f"item {wrong[0]} of {self.length}")
        with one_thread() if self.kept is None else counted():
            plans = [self._plan(i, seeded(self.seed, epoch, i)) for i, epoch in places]
            made: dict[int, dict[str, Any]] = {}
            for alike in _alike(plans):
                made |= zip(alike, self._make([plans[i] for i in alike]), strict=True)
        return [made[i] for i in range(len(plans))]

    def _plan(self, index: int, generator: torch.Generator) -> _Plan:
        scene = self.scenes[index % len(self.scenes)]
        size = self.recipe.size
        pictures = self._pictures_of(scene)
        pictures = pictures if size is None else cut(pictures, size, generator)
        height, width = pictures[SHARP].shape[-2:]
        if min(height, width) < self.crop:
            raise InputError(f"{scene.name} is {width}×{height}, below the crop of {self.crop}")
        side = self.crop + 2 * self.margin
        pictures = cut(pictures, (side, side), generator)
        return _Plan(scene.name, pictures, self.pipeline.draw(generator), generator)

    def _pictures_of(self, scene: Scene) -> dict[str, Tensor]:
        def read() -> dict[str, Tensor]:
            return shrunk(scene.read(self.pipeline.inputs), self.recipe.size)

        if self.kept is None:
            return read()
        key = (scene, self.recipe.size, "disparity" in self.pipeline.inputs)
        return self.kept.get(key, read)

    def _make(self, plans: Sequence[_Plan]) -> list[dict[str, Any]]:
        """The items of plans whose pictures have one size."""
        scene = {
            name: unit(torch.stack([plan.pictures[name] for plan in plans]))
            for name in plans[0].pictures
        }
        device = scene[SHARP].device
        drawn = [
            {name: value.to(device) for name, value in together(step).items()}
            for step in zip(*(plan.drawn for plan in plans), strict=True)
        ]
        made = self.pipeline.make(scene, drawn)
        top, left = ((n - self.crop) // 2 for n in scene[SHARP].shape[-2:])
        rows, columns = slice(top, top + self.crop), slice(left, left + self.crop)
        entries = {
            entry: made[name][..., rows, columns].clamp(0, 1)
            for entry, name in self.pictures.items()
        }
        if self.kernel_size is not None:
            kernels = self.pipeline.kernel(drawn, self.kernel_size).to(device)
            kernels = kernels.expand(len(plans), -1, -1, -1)
            if self.kernel_error:
                pairs = zip(kernels.split(1), plans, strict=True)
                kernels = torch.cat(
                    [disturbed(kernel, self.kernel_error, plan.generator) for kernel, plan in pairs]
                )
            entries[self.kernel_name] = kernels
        return [
            {**{entry: values[i] for entry, values in entries.items()}, "name": plan.name}
            for i, plan in enumerate(plans)
        ]


@dataclass(frozen=True)
class _Plan:
    """The random choices of an item, except its noise."""

    name: str
    pictures: dict[str, Tensor]
    drawn: list[Parameters]
    generator: torch.Generator


def _alike(plans: Sequence[_Plan]) -> list[list[int]]:
    """The positions of plans with the same pictures of the same sizes."""
    groups: dict[object, list[int]] = {}
    for place, plan in enumerate(plans):
        shapes = frozenset((name, picture.shape) for name, picture in plan.pictures.items())
        groups.setdefault(shapes, []).append(place)
    return list(groups.values())
