"""Photos in files: planned, restored one at a time, written atomically."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from unfold.core import Restorer
from unfold.imaging import ImageError, find_photos, read, write
from unfold.imaging.io import SUFFIXES


@dataclass(frozen=True)
class Outcome:
    """What became of one photo: where it went, or why it did not."""

    source: Path
    target: Path
    error: str | None = None


def plan(sources: Sequence[Path], output: Path) -> tuple[list[tuple[Path, Path]], list[Outcome]]:
    """Which file goes where; and the sources that are missing or empty, as failed outcomes.

    One file and an ``output`` with a picture's suffix: that file. Otherwise ``output`` is a
    folder; folders given are mirrored below it.

    Raises:
        ImageError: two photos would go to one file, one would be written over itself, or the
            output for many is a picture's name.
    """
    as_file = output.suffix.lower() in SUFFIXES and not output.is_dir()
    photos: list[tuple[Path, Path]] = []
    missing: list[Outcome] = []
    for source in sources:
        try:
            photos += [(source, photo) for photo in find_photos([source])]
        except ImageError as error:
            missing.append(Outcome(source, output, str(error)))
    if as_file:
        many = len(photos) + len(missing)
        if many != 1:
            raise ImageError(f"{output}: one file for {many} photos; name a folder as the output")
        pairs = [(photo, output) for _, photo in photos]
    else:
        pairs = [(p, output / (p.relative_to(s) if p != s else p.name)) for s, p in photos]
    pairs = [(source, _writable(target)) for source, target in pairs]
    taken: dict[Path, Path] = {}
    for source, target in pairs:
        if source.resolve() == target.resolve():
            raise ImageError(f"{source}: would be written over itself; choose another output")
        if target in taken:
            raise ImageError(
                f"{source}: would be written to {target}, as {taken[target]} would; restore "
                "them into folders of their own"
            )
        taken[target] = source
    return pairs, missing


def restore_file(
    model: Restorer, source: Path, target: Path, *, kernel: Tensor | None, device: torch.device
) -> None:
    """Restore one photo: read, restore, write. Grey stays grey; alpha and profile are kept.

    Raises:
        ImageError: it cannot be read or written, or the model fails on it.
    """
    photo = read(source)
    image = photo.image[None].to(device)
    try:
        with torch.inference_mode():
            restored = model(image, kernel=None if kernel is None else kernel.to(device)).image
    except (RuntimeError, ValueError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(
            f"{source}: {type(model).__name__} failed on {image.shape[-1]}×{image.shape[-2]} "
            f"pixels ({reason[:300]})"
        ) from error
    target.parent.mkdir(parents=True, exist_ok=True)
    write(target, replace(photo, image=restored[0].float().cpu()))


def restore_files(
    model: Restorer,
    pairs: Sequence[tuple[Path, Path]],
    *,
    kernel: Tensor | None = None,
    device: torch.device | str = "cpu",
) -> Iterator[Outcome]:
    """Restore photo after photo; one that fails does not stop the others."""
    device = torch.device(device)
    model = model.to(device).eval()
    for source, target in pairs:
        try:
            restore_file(model, source, target, kernel=kernel, device=device)
        except (ImageError, OSError) as error:
            yield Outcome(source, target, str(error))
        else:
            yield Outcome(source, target)


def _writable(target: Path) -> Path:
    """A file that was given with an odd suffix, and turns out to be a photo, becomes a PNG."""
    return target if target.suffix.lower() in SUFFIXES else target.with_name(target.name + ".png")
