"""Sample pictures: input, output, target, and the parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from unfold.imaging import Photo, write
from unfold.restorer import Restorer

from .task import known
from .validation import evaluating


def sample_sheet(model: Restorer, items: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """A picture ``(3, h, w)`` with one row for each item: input, output, target, the model's parts.

    Args:
        model: the model.
        items: ``input`` and, if there is one, ``target``, ``(1, 3, H, W)``; rows are cropped to the
            smallest.
    """
    rows = []
    with evaluating(model), torch.no_grad():
        for item in items:
            restoration = model(item["input"], **known(item))
            height, width = item["input"].shape[-2:]
            pictures = [item["input"], restoration.image]
            pictures += [item["target"]] if "target" in item else []
            pictures += restoration.parts.values()
            rows.append([tile(p.float().cpu(), (height, width)) for p in pictures])
    height, width = (min(row[0].shape[axis] for row in rows) for axis in (-2, -1))
    return torch.cat([torch.cat([t[:, :height, :width] for t in row], 2) for row in rows], 1)


def write_sheet(path: Path, sheet: Tensor) -> None:
    """Write a sample sheet. Its folder is created if necessary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, Photo(sheet))


def tile(part: Tensor, size: tuple[int, int]) -> Tensor:
    """A part ``(1, C, h, w)`` as a tile ``(3, H, W)`` of the sheet.

    Photos are clipped to [0, 1]. A part of another size than the tile is a kernel: the first of
    several is shown, with its largest value white, enlarged to the tile.
    """
    if part.shape[-2:] == size:
        color = part[0, :3] if part.shape[1] >= 3 else part[0, :1].expand(3, -1, -1)
        return color.clamp(0, 1)
    kernel = part[:1, :1]
    scale = max(1, min(size[0] // kernel.shape[-2], size[1] // kernel.shape[-1]))
    kernel = interpolate(kernel / kernel.amax().clamp_min(1e-12), scale_factor=scale)
    made = torch.zeros(3, *size)
    shown = kernel[0, 0, : size[0], : size[1]]
    made[:, : shown.shape[0], : shown.shape[1]] = shown
    return made
