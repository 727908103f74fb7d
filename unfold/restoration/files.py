"""Photos in files: planned, restored one at a time, written atomically."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from unfold.core import Restorer
from unfold.imaging import ImageError, find_photos, read, write
from unfold.imaging.io import MAX_PIXELS, SUFFIXES


@dataclass(frozen=True)
class Outcome:
    """What became of one photo: where it went, or why it did not."""

    source: Path
    target: Path
    error: str | None = None


def plan(sources: Sequence[Path], output: Path) -> tuple[list[tuple[Path, Path]], list[Outcome]]:
    """Which file goes where; and what cannot go anywhere, as failed outcomes.

    One file and an ``output`` with a picture's suffix: that file. Otherwise ``output`` is a
    folder; folders given are mirrored below it, but for what lies in ``output`` itself, which an
    earlier run has put there. A file given twice is restored once. A photo that would be written
    over another, or over a source, fails; the others go on.

    Raises:
        ImageError: the output for many photos is a picture's name, or for one a picture of a kind
            that cannot be written.
    """
    photos, failed = _find(sources, output)
    if _is_file(output):
        many = len(photos) + len(failed)
        if many != 1:
            raise ImageError(f"{output}: one file for {many} photos; name a folder as the output")
        planned = [(photo, output) for photo in photos]
    else:
        planned = [(photo, _named(output / inside)) for photo, inside in photos.items()]
    originals = {photo.resolve() for photo in photos}
    pairs: dict[Path, Path] = {}  # target -> source
    for source, target in planned:
        if target.resolve() in originals:
            itself = "itself" if target.resolve() == source.resolve() else f"the photo {target}"
            reason = f"would be written over {itself}; choose another output"
        elif target in pairs:
            reason = f"would be written to {target}, as {pairs[target]} is; restore it elsewhere"
        else:
            pairs[target] = source
            continue
        failed.append(Outcome(source, target, str(ImageError(f"{source}: {reason}"))))
    return [(source, target) for target, source in pairs.items()], failed


def _find(sources: Sequence[Path], output: Path) -> tuple[dict[Path, Path], list[Outcome]]:
    """The photos, each with its place below the output folder; the sources without any."""
    photos: dict[Path, Path] = {}
    failed: list[Outcome] = []
    given: set[Path] = set()
    for source in sources:
        try:
            found = find_photos([source])
            if source.is_dir() and source.resolve() in output.resolve().parents:
                found = [p for p in found if not p.resolve().is_relative_to(output.resolve())]
                if not found:
                    raise ImageError(f"{source}: no photographs outside of {output}")
        except ImageError as error:
            failed.append(Outcome(source, output, str(error)))
            continue
        for photo in found:
            if photo.resolve() not in given:
                given.add(photo.resolve())
                inside = photo.relative_to(source) if photo != source else Path(photo.name)
                photos[photo] = inside
    return photos, failed


def _is_file(output: Path) -> bool:
    """Whether an output names a picture, not a folder."""
    if output.is_dir():
        return False
    kind = mimetypes.guess_type(output.name)[0] or ""
    if kind.startswith("image/") and output.suffix.lower() not in SUFFIXES:
        raise ImageError(
            f"{output}: {output.suffix} cannot be written; use one of {', '.join(SUFFIXES)}"
        )
    return output.suffix.lower() in SUFFIXES


def _named(target: Path) -> Path:
    """A file that was given with an odd suffix, and turns out to be a photo, becomes a PNG."""
    return target if target.suffix.lower() in SUFFIXES else target.with_name(target.name + ".png")


def restore_file(
    model: Restorer,
    source: Path,
    target: Path,
    *,
    kernel: Tensor | None,
    device: torch.device,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Restore one photo: read, restore, write. Grey stays grey; alpha and profile are kept.

    Raises:
        ImageError: it cannot be read or written, or the model fails on it.
    """
    photo = read(source, max_pixels=max_pixels)
    image = photo.image[None].to(device)
    try:
        with torch.inference_mode():
            restored = model(image, kernel=None if kernel is None else kernel.to(device)).image
        restored = restored[0].float().cpu()
    except (RuntimeError, ValueError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(
            f"{source}: {type(model).__name__} failed on {image.shape[-1]}×{image.shape[-2]} "
            f"pixels ({reason[:300]})"
        ) from error
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(
            f"{source}: the folder {target.parent} cannot be made ({error.strerror}); choose "
            "another output"
        ) from error
    write(target, replace(photo, image=restored))


def restore_files(
    model: Restorer,
    pairs: Sequence[tuple[Path, Path]],
    *,
    kernel: Tensor | None = None,
    device: torch.device | str = "cpu",
    max_pixels: int = MAX_PIXELS,
) -> Iterator[Outcome]:
    """Restore photo after photo; one that fails does not stop the others."""
    device = torch.device(device)
    model = model.to(device).eval()
    for source, target in pairs:
        try:
            restore_file(model, source, target, kernel=kernel, device=device, max_pixels=max_pixels)
        except ImageError as error:
            yield Outcome(source, target, str(error))
        else:
            yield Outcome(source, target)
