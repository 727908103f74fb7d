"""Cases of files and of borders."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from unfold.imaging import Photo, read, write
from unfold.imaging.boundary import pad_periodic

from .case import Case, PairedRun, Size
from .sample import photo

_MARGIN = 15  # of a 31×31 kernel


def imaging_cases(size: Size) -> Iterator[Case]:
    """Reading and writing of files, compared with Pillow and a conversion to floating point; and
    extension at borders, compared with reflection by torch."""
    for suffix in ("png", "jpg"):
        yield Case("imaging", f"read {suffix}", size, partial(_reading, suffix, size), host=True)
        yield Case("imaging", f"write {suffix}", size, partial(_writing, suffix, size), host=True)
    yield Case("imaging", "pad_periodic", size, partial(_padding, size))


def _reading(suffix: str, size: Size, device: torch.device) -> PairedRun:
    def run(file: Path) -> Callable[[], object]:
        write(file, Photo(photo(size, device)[0]))
        return lambda: read(file)

    return _with_folder(suffix, run, lambda file: lambda: read_by_pillow(file), "Pillow")


def _writing(suffix: str, size: Size, device: torch.device) -> PairedRun:
    image = photo(size, device)[0]

    def run(file: Path) -> Callable[[], object]:
        return lambda: write(file, Photo(image))

    def baseline(file: Path) -> Callable[[], object]:
        return lambda: write_by_pillow(file.with_name(f"theirs.{suffix}"), image)

    return _with_folder(suffix, run, baseline, "Pillow at its defaults")


def _with_folder(suffix: str, run, baseline, against: str) -> PairedRun:
    """A pair of calls for a file in a temporary folder, which is deleted with the pair."""
    folder = tempfile.mkdtemp(prefix="unfold-bench-")
    file = Path(folder, f"photo.{suffix}")
    pair = PairedRun(run(file), baseline(file), against)
    weakref.finalize(pair, shutil.rmtree, folder, ignore_errors=True)
    return pair


def _padding(size: Size, device: torch.device) -> PairedRun:
    x = photo(size, device)
    return PairedRun(
        lambda: pad_periodic(x, (_MARGIN, _MARGIN)),
        lambda: pad(x, 4 * (_MARGIN,), mode="reflect"),
        "torch's pad, reflecting",
    )


def read_by_pillow(file: Path) -> Tensor:
    """Read a photo ``(3, H, W)`` in [0, 1] with Pillow and NumPy."""
    from PIL import Image

    with Image.open(file) as picture:
        samples = np.array(picture.convert("RGB"))
    return torch.from_numpy(samples).permute(2, 0, 1).float().div_(255).contiguous()


def write_by_pillow(file: Path, image: Tensor) -> None:
    """Write a photo with Pillow and NumPy."""
    from PIL import Image

    samples = (image * 255).round_().clamp_(0, 255).byte().permute(1, 2, 0)
    Image.fromarray(samples.contiguous().numpy()).save(file)
