"""Overlapping tiles of a photo, and their weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

# Tiles begin at multiples of this: networks that halve the size five times see a pixel at the same
# place of their grids as in the whole photo.
ALIGN = 32


# Not kornia.contrib's tensor patches: all are held at once, and overlaps are averaged, not blended.
@dataclass(frozen=True)
class Grid:
    """A photo of ``height × width`` in overlapping tiles.

    The weight of a tile is 0 within ``radius`` pixels of an edge inside the photo, and increases
    smoothly over the rest of the overlap. The weights sum to 1 at each pixel.

    Attributes:
        rows: first row and last row + 1 of the tiles of a column.
        columns: first column and last column + 1 of the tiles of a row.
        radius: radius of the receptive field in pixels.
    """

    rows: tuple[tuple[int, int], ...]
    columns: tuple[tuple[int, int], ...]
    radius: int

    @classmethod
    def plan(cls, height: int, width: int, *, radius: int, pixels: int) -> Grid | None:
        """The grid with the fewest pixels in total whose tiles have at most ``pixels`` each.

        Returns:
            None if there is none, because the overlaps would leave less than `ALIGN` new rows or
            columns in each tile.
        """
        down, across = (list(_divisions(length, _overlap(radius))) for length in (height, width))
        fitting = [
            (_total(rows) * _total(columns), rows, columns)
            for rows in down
            for columns in across
            if rows[0][1] * columns[0][1] <= pixels
        ]
        if not fitting:
            return None
        _, rows, columns = min(fitting, key=lambda found: found[0])
        return cls(rows, columns, radius)

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def __str__(self) -> str:
        height, width = (max(b - a for a, b in spans) for spans in (self.rows, self.columns))
        return f"{len(self)} tiles of {width}×{height}, overlap {self.overlap}"

    @property
    def overlap(self) -> int:
        """Largest number of rows or columns that neighboring tiles share."""
        return _overlap(self.radius)

    def tiles(self) -> Iterator[tuple[slice, slice, Tensor]]:
        """Rows, columns and weights ``(h, w)`` of each tile."""
        down, across = _weights(self.rows, self.radius), _weights(self.columns, self.radius)
        for (r, y), (c, x) in itertools.product(
            zip(self.rows, down, strict=True), zip(self.columns, across, strict=True)
        ):
            yield slice(*r), slice(*c), y[:, None] * x

    def cores(self) -> Iterator[tuple[slice, slice]]:
        """Disjoint parts of the tiles that cover the photo, in the order of `tiles`. Their
        boundaries are in the middle of the overlaps, at multiples of `ALIGN` or less."""
        for rows, columns in itertools.product(_cores(self.rows), _cores(self.columns)):
            yield slice(*rows), slice(*columns)

    def seams(self, most: int) -> list[tuple[int, int]]:
        """Pixels in the middle of the overlaps, at most ``most``, distributed over the photo."""
        rows, columns = ([a for a, _ in _cores(s)][1:] for s in (self.rows, self.columns))
        middle = [(a + b) // 2 for a, b in (self.rows[0], self.columns[0])]
        points = list(itertools.product(rows or middle[:1], columns or middle[1:]))
        step = max(1, math.ceil(len(points) / most))
        return points[step // 2 :: step]


def _overlap(radius: int) -> int:
    ramp = max(16, radius // 2)  # over which weights rise, at least
    return math.ceil((2 * radius + ramp) / ALIGN) * ALIGN


def _divisions(length: int, overlap: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Divisions of a length: start and end of each tile. All but the last have equal sizes."""
    yield ((0, length),)
    for stride in range(ALIGN, length - overlap, ALIGN):
        starts = range(0, length - overlap, stride)
        yield tuple((a, min(a + stride + overlap, length)) for a in starts)


def _total(spans: tuple[tuple[int, int], ...]) -> int:
    return sum(end - first for first, end in spans)


def _weights(spans: tuple[tuple[int, int], ...], radius: int) -> list[Tensor]:
    """The weights of each span: 0 within the radius of an inner edge, then increasing."""
    length = spans[-1][1]
    total, weights = torch.zeros(length), []
    for i, (first, end) in enumerate(spans):
        place = torch.arange(first, end, dtype=torch.float32)
        weight = torch.ones(end - first)
        if i > 0:
            weight *= _rise((place - first - radius) / (spans[i - 1][1] - first - 2 * radius))
        if i < len(spans) - 1:
            weight *= _rise((end - 1 - place - radius) / (end - spans[i + 1][0] - 2 * radius))
        total[first:end] += weight
        weights.append(weight)
    return [w / total[first:end] for w, (first, end) in zip(weights, spans, strict=True)]


def _rise(t: Tensor) -> Tensor:
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)


def _cores(spans: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    inner = [(a + b) // 2 // ALIGN * ALIGN for (_, b), (a, _) in itertools.pairwise(spans)]
    return list(itertools.pairwise([0, *inner, spans[-1][1]]))
