"""Restoration of photos of any size within a memory budget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from unfold._heap import kept_heap
from unfold.errors import InputError, MemoryLimitError, UnfoldError
from unfold.restorer import Restoration, Restorer, Trust

from .device import default_budget, format_bytes, parse_bytes, release, used
from .findings import findings
from .grid import ALIGN, Grid
from .receptive_field import (
    PROBE,
    ReceptiveField,
    bytes_per_pixel,
    measure_receptive_field,
    with_pooled_features,
)
from .trust import REACH, blended, check_declared, noise_of, part_of, probed, with_trust

# Below this many bytes a pixel no model needs measuring: none that we know takes a third of it.
_PLENTY = 16_384
# What allocators hold on to adds up from tile to tile.
_TILE_SHARE = 0.9
_GATHERED = 8  # radius of tiles from which means alone are taken, in pixels
_SEAMS = 4  # how many are looked at to verify


@dataclass(frozen=True)
class Tiling:
    """The tiles in which one model restored a photo.

    Attributes:
        model: class of the model.
        grid: the tiles.
        receptive_field: receptive field of the model on this photo; tiles overlap by twice its
            radius, and by the ramp of their weights.
        seams: if verified, the largest and the mean difference between the result and windows
            restored around seams with twice the radius, in units of [0, 1].

    Example:
        >>> import torch, unfold
        >>> from unfold.restoration import TiledInference
        >>> model = unfold.create_model("zero-dce", pretrained=True)
        >>> photo = torch.rand(3, 128, 256)
        >>> (tiling,) = TiledInference(model, tile=128 * 160)(photo).tilings
        >>> tiling.model, tiling.receptive_field.error < 1e-3
        ('ZeroDCE', True)
        >>> [columns[1] - columns[0] <= 160 for columns in tiling.grid.columns]
        [True, True]
    """

    model: str
    grid: Grid
    receptive_field: ReceptiveField
    seams: tuple[float, float] | None = None

    def __str__(self) -> str:
        text = f"{self.model} in {self.grid}"
        if self.seams is not None:
            text += f"; seams differ by {self.seams[0]:.1e} at most, {self.seams[1]:.1e} on average"
        return text


@dataclass(frozen=True)
class Restored:
    """A restored photo.

    Attributes:
        image: ``(3, H, W)``, float32 in [0, 1] on the CPU.
        tilings: one for each model that restored it in tiles; empty if it was restored whole.
        found: the parts that `unfold.restoration.findings` describes.
        trust: its trust, if requested; maps ``(1, 1, H, W)``.

    Example:
        >>> import torch, unfold
        >>> from unfold.restoration import TiledInference
        >>> restored = TiledInference(unfold.create_model("identity"))(torch.rand(3, 32, 48))
        >>> restored.image.shape, restored.tilings  # in one piece
        (torch.Size([3, 32, 48]), ())
    """

    image: Tensor
    tilings: tuple[Tiling, ...] = ()
    found: Mapping[str, Tensor] = field(default_factory=dict)
    trust: Trust | None = None


class TiledInference:
    """Inference on photos of any size within a budget of memory, in tiles if they do not fit.

    Tiles overlap by twice the receptive field's radius, which is measured on each photo (see
    `measure_receptive_field`), and are blended within the overlap. Global measurements are taken
    once, of the whole photo (see `Restorer.measure`). The models of a sequence are tiled
    separately.

    Args:
        model: model in eval mode, on ``device``.
        kernel: kernel of the blur, ``(1, 1, h, w)``, if it is known.
        device: device of the model.
        memory: memory budget of the device in bytes; on the CPU that of the whole process,
            including torch; or text such as ``"2GiB"``. None: the used memory and most of the free
            memory.
        tile: largest number of pixels of a tile, and of a photo that is restored whole. None: as
            many as fit into the memory.
        verify: whether the seams are checked.
        trust: whether the trust is estimated (see `with_trust`). Noise is drawn for each tile, so
            the maps are equal to those of the whole photo only in the mean.

    Raises:
        UnfoldError: if ``trust`` is True and the model is not unrolled.

    Example:
        >>> import torch, unfold
        >>> from unfold.restoration import TiledInference
        >>> model = unfold.create_model("zero-dce", pretrained=True)
        >>> photo = torch.rand(3, 128, 256)
        >>> restored = TiledInference(model, tile=128 * 160)(photo)  # pixels of a tile
        >>> len(restored.tilings[0].grid) > 1
        True
        >>> torch.allclose(restored.image, model(photo[None]).image[0], atol=1e-3)
        True
    """

    def __init__(
        self,
        model: Restorer,
        *,
        kernel: Tensor | None = None,
        device: torch.device | str = "cpu",
        memory: int | str | None = None,
        tile: int | None = None,
        verify: bool = False,
        trust: bool = False,
    ) -> None:
        if trust:
            check_declared(model)
        self.model, self.device, self.verify = model, torch.device(device), verify
        self.trust = trust
        self.tile = tile
        self.kernel = None if kernel is None else kernel.to(self.device)
        self.budget = default_budget(self.device) if memory is None else parse_bytes(memory)
        self._rates: dict[int, float] = {}  # bytes a pixel, by the model's id

    @kept_heap()
    @torch.inference_mode()
    def __call__(self, image: Tensor) -> Restored:
        """Restore one photo.

        Args:
            image: ``(3, H, W)`` in [0, 1], on the CPU.

        Raises:
            MemoryLimitError: if not even one tile fits into the budget, or if the model needs the
                full image and that does not fit.
            InputError: if ``tile`` is too small for the receptive field.
        """
        x, kernel, tilings, found, trust = image[None], self.kernel, [], {}, None
        for model in self.model.sequence():
            if self._fits(model, x, kernel):
                restoration = self._whole(model, x.to(self.device), kernel)
            else:
                restoration, tiling = self._tiled(model, x, kernel)
                tilings.append(tiling)
            x, trust = restoration.image.float().cpu(), restoration.trust
            found = findings(restoration.parts, kernel_known=kernel is not None) | found
            kernel = None  # it describes the photo as it came in
        return Restored(x[0], tuple(tilings), found, trust and part_of(trust, 0))

    @kept_heap()
    @torch.inference_mode()
    def restore_batch(self, images: Sequence[Tensor]) -> list[Restored]:
        """Restore photos of one size in one batch, untiled; see `fits`.

        Args:
            images: each ``(3, H, W)`` in [0, 1], on the CPU.
        """
        x, kernel = torch.stack([*images]).to(self.device), self.kernel
        found: dict[str, Tensor] = {}
        trust: Trust | None = None
        for model in self.model.sequence():
            restoration = self._whole(model, x, kernel)
            found = findings(restoration.parts, kernel_known=kernel is not None) | found
            x, kernel, trust = restoration.image, None, restoration.trust
        each = [
            {name: part[i : i + 1] if len(part) > 1 else part for name, part in found.items()}
            for i in range(len(images))
        ]
        return [
            Restored(image, found=one, trust=trust and part_of(trust, i))
            for i, (image, one) in enumerate(zip(x.float().cpu(), each, strict=True))
        ]

    @kept_heap()
    @torch.inference_mode()
    def measure(self, image: Tensor) -> dict[str, Tensor]:
        """Measure the quantities of a whole photo that the model needs to restore a part of it.

        Returns the measurements and pooled features (see `Restorer`) that ``forward`` takes as
        ``measurements``.

        Args:
            image: ``(3, H, W)`` in [0, 1], on the CPU.

        Raises:
            MemoryLimitError: if not even one tile fits into the budget.
            ValueError: if ``tile`` is too small.
        """
        model, x = self.model, image[None]
        measurements = dict(model.measure(x.to(self.device), kernel=self.kernel))
        if not model.pooled_features:
            return measurements
        if self._fits(model, x, self.kernel):
            return dict(with_pooled_features(model, x.to(self.device), self.kernel, measurements))
        tiles = _Tiles(model, x, self.kernel, measurements, self.device)
        grid = tiles.plan(_GATHERED, self._tile_pixels(model, x, self.kernel))
        if grid is None:
            raise self._no_tile(tiles, _GATHERED)
        tiles.gather(grid)
        return dict(tiles.measurements)

    def room(self) -> int:
        """Unused bytes of the budget."""
        return self.budget - used(self.device)

    def fits(self, image: Tensor, *, beside: int = 0, batch: int = 1) -> bool:
        """Whether ``batch`` photos ``(3, H, W)`` of this size fit into the memory at once, whole,
        with ``beside`` further bytes."""
        models = self.model.sequence()
        kernels = [self.kernel, *[None] * (len(models) - 1)]
        return all(
            self._fits(model, image[None], kernel, beside, batch)
            for model, kernel in zip(models, kernels, strict=True)
        )

    def _fits(
        self, model: Restorer, x: Tensor, kernel: Tensor | None, beside: int = 0, batch: int = 1
    ) -> bool:
        pixels, room = batch * x.shape[-2] * x.shape[-1], self.room() - beside
        if self.tile is not None:
            return pixels <= self.tile
        if pixels * _PLENTY <= room:
            return True
        takes = self._rate(model, x, kernel) * pixels
        if takes > room:  # (of which some may be free, but kept)
            release(self.device)
            room = self.room() - beside
        return takes <= room

    def _whole(self, model: Restorer, x: Tensor, kernel: Tensor | None) -> Restoration:
        return with_trust(model, x, kernel=kernel) if self.trust else model(x, kernel=kernel)

    @torch.inference_mode()
    def _rate(self, model: Restorer, x: Tensor, kernel: Tensor | None) -> float:
        rate = self._rates.get(id(model))
        if rate is None:
            run = partial(with_trust, model) if self.trust else model
            rate = bytes_per_pixel(run, x, kernel, self.device)
            if min(x.shape[-2:]) >= PROBE:  # (of a small photo the borders take much)
                self._rates[id(model)] = rate
        return rate

    def _tile_pixels(self, model: Restorer, x: Tensor, kernel: Tensor | None) -> int:
        """Largest number of pixels of a tile, in addition to the result, which is assembled on the
        CPU."""
        if self.tile is not None:
            return self.tile
        rate = self._rate(model, x, kernel)
        release(self.device)
        result = self._result_bytes(model, x) if self.device.type == "cpu" else 0
        return int(_TILE_SHARE * (self.room() - result) / rate)

    def _result_bytes(self, model: Restorer, x: Tensor) -> int:
        """Bytes of the assembled results of a photo, in float32."""
        maps = 3 if self.trust else sum(model.finish_reads.values())
        return 4 * (x.shape[1] + maps) * x[0, 0].numel()

    def _tiled(
        self, model: Restorer, x: Tensor, kernel: Tensor | None
    ) -> tuple[Restoration, Tiling]:
        height, width = x.shape[-2:]
        if model.needs_full_image:
            sizes = int(self._rate(model, x, kernel) * height * width), self.room(), self.budget
            takes, left, of = map(format_bytes, sizes)
            raise MemoryLimitError(
                f"the model needs the whole photo, which takes {takes}, and {left} of {of} are "
                "free: allow more memory, or scale the photo down"
            )
        release(self.device)
        measurements = dict(model.measure(x.to(self.device), kernel=kernel))
        pixels = self._tile_pixels(model, x, kernel)
        field = measure_receptive_field(
            model, x, kernel=kernel, measurements=measurements, device=self.device, pixels=pixels
        )
        window = REACH if self.trust else 0
        field = replace(field, radius=max(field.radius, model.min_receptive_field, window))
        tiles = _Tiles(model, x, kernel, measurements, self.device)
        grid = tiles.plan(field.radius, pixels)
        if grid is None or field.error == math.inf:
            raise self._no_tile(tiles, field.radius)
        if model.finish_reads and not self.trust:
            tiles.gather(grid)
        elif model.pooled_features:
            # (Means bear what is wrong along the seams: these tiles overlap less.)
            tiles.gather(tiles.plan(_GATHERED, pixels) or grid)
        if self.trust:
            noise = noise_of(x.to(self.device), measurements)
            out, trust = tiles.assemble_with_trust(grid, noise)
        else:
            out, trust = tiles.assemble(grid), None
        seams = tiles.check(out, grid, pixels) if self.verify else None
        restored = Restoration(out, measurements, trust=trust)
        return restored, Tiling(type(model).__name__, grid, field, seams)

    def _no_tile(self, tiles: _Tiles, radius: int) -> UnfoldError:
        """The error of tiles that are too small, with the required limit."""
        least = max(2 * (2 * radius + 2 * ALIGN), 384) ** 2
        if self.tile is not None:
            return InputError(
                f"tile={self.tile}: such small tiles cannot overlap by the receptive field; "
                f"use {least} or more"
            )
        takes = int(least * self._rate(tiles.model, tiles.x, tiles.kernel))
        takes += self.budget - self.room() + self._result_bytes(tiles.model, tiles.x)
        return MemoryLimitError(
            f"not even one tile fits into the free part of {format_bytes(self.budget)}: allow "
            f"{format_bytes(takes)} or more"
        )


class _Tiles:
    """One photo, and a model that restores parts of it."""

    def __init__(
        self,
        model: Restorer,
        x: Tensor,
        kernel: Tensor | None,
        measurements: Mapping[str, Tensor],
        device: torch.device,
    ) -> None:
        self.model, self.x, self.kernel, self.device = model, x, kernel, device
        self.measurements = measurements
        self.begun: dict[str, Tensor] = {}

    def plan(self, radius: int, pixels: int) -> Grid | None:
        """Tiles of at most ``pixels`` pixels that overlap by twice the radius; None if there are
        none."""
        return Grid.plan(*self.x.shape[-2:], radius=radius, pixels=pixels)

    def known(self, rows: slice, columns: slice) -> dict[str, Tensor]:
        """The measurements for a tile."""
        return self.model.part_of(self.measurements, rows, columns)

    def restore(self, rows: slice, columns: slice) -> Tensor:
        known = self.known(rows, columns)
        options = {"measurements": known} if known else {}
        part = self.x[..., rows, columns].to(self.device)
        return self.model(part, kernel=self.kernel, **options).image.float().cpu()

    def finish(self, rows: slice, columns: slice) -> Tensor:
        if not self.begun:
            return self.restore(rows, columns)
        part, *read = (
            whole[..., rows, columns].to(self.device) for whole in (self.x, *self.begun.values())
        )
        parts = dict(zip(self.begun, read, strict=True))
        known = self.known(rows, columns)
        image = self.model.finish(part, parts, kernel=self.kernel, measurements=known)
        return image.float().cpu()

    def gather(self, grid: Grid) -> None:
        """Add the means of the pooled features to the measurements; each tile contributes its core.

        The parts that `Restorer.finish` reads are kept.
        """
        sums: dict[str, Tensor] = {}
        counts = dict.fromkeys(self.model.pooled_features, 0)
        size = self.x.shape[-2:]
        self.begun = {
            name: torch.zeros(1, channels, *size)
            for name, channels in self.model.finish_reads.items()
        }
        for (rows, columns, weight), core in zip(grid.tiles(), grid.cores(), strict=True):
            part = self.x[..., rows, columns].to(self.device)
            known = self.known(rows, columns)
            options = {"measurements": known} if known else {}
            parts = self.model(part, kernel=self.kernel, **options).parts
            for name in self.model.pooled_features:
                inner = _inner(parts[name], part.shape[-2:], (rows, columns), core)
                sums[name] = sums.get(name, 0) + inner.sum((-2, -1), keepdim=True)
                counts[name] += inner.shape[-2] * inner.shape[-1]
            for name in self.begun.keys() & parts.keys():
                self.begun[name][..., rows, columns] += weight * parts[name].float().cpu()
        self.measurements = {
            **self.measurements,
            **{name: sums[name] / counts[name] for name in sums},
        }

    def assemble(self, grid: Grid) -> Tensor:
        out = torch.zeros_like(self.x, dtype=torch.float32)
        for rows, columns, weight in grid.tiles():
            out[..., rows, columns] += weight * self.finish(rows, columns)
        return out

    def assemble_with_trust(self, grid: Grid, noise: Tensor) -> tuple[Tensor, Trust]:
        """The photo and its trust, from the same restorations of tiles."""
        out = torch.zeros_like(self.x, dtype=torch.float32)

        def tiles() -> Iterator[tuple[Trust, slice, slice, Tensor]]:
            for seed, (rows, columns, weight) in enumerate(grid.tiles()):
                part = self.x[..., rows, columns].to(self.device)
                known = self.known(rows, columns)
                made = probed(self.model, part, self.kernel, known, noise, seed=seed)
                out[..., rows, columns] += weight * made.image.float().cpu()
                assert made.trust is not None
                yield part_of(made.trust, 0), rows, columns, weight

        trust = blended(tiles(), (out.shape[-2], out.shape[-1]))
        return out, trust

    def check(self, out: Tensor, grid: Grid, pixels: int) -> tuple[float, float]:
        """The largest and the mean difference to newly restored windows around seams."""
        half = min(2 * grid.radius + ALIGN, int(pixels**0.5) // 2) // ALIGN * ALIGN + ALIGN
        differences = []
        for row, column in grid.seams(_SEAMS):
            top, left = max(0, row - half), max(0, column - half)
            rows, columns = slice(top, row + half), slice(left, column + half)
            anew = self.restore(rows, columns)
            y, x = row - top, column - left
            core = slice(max(0, y - ALIGN), y + ALIGN), slice(max(0, x - ALIGN), x + ALIGN)
            differences.append((anew - out[..., rows, columns])[..., core[0], core[1]].abs())
        return (
            max(d.max().item() for d in differences),
            sum(d.mean().item() for d in differences) / len(differences),
        )


def _inner(
    part: Tensor, size: torch.Size, tile: tuple[slice, slice], core: tuple[slice, slice]
) -> Tensor:
    """The part of a tile's map inside its core; the map may be coarser than the tile."""
    slices = []
    for whole, coarse, outer, inner in zip(size, part.shape[-2:], tile, core, strict=True):
        factor = round(whole / coarse)
        first, end = inner.start - outer.start, inner.stop - outer.start
        slices.append(slice(first // factor, -(-end // factor)))
    return part[..., slices[0], slices[1]]
