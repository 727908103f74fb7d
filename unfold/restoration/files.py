"""Photos in files: which goes where."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unfold.imaging import ImageError, find_photos
from unfold.imaging.io import SUFFIXES


@dataclass(frozen=True)
class FileResult:
    """What became of one photo: where it went, or why it did not; notes for whoever wants it.

    Attributes:
        source, target: from and to.
        error: why it is not restored, in one line.
        notes: one line each.
        state: ``"done before"`` and ``"another shard's"``: nothing had to be done.
    """

    source: Path
    target: Path
    error: str | None = None
    notes: tuple[str, ...] = ()
    state: Literal["restored", "done before", "another shard's"] = "restored"


def plan(sources: Sequence[Path], output: Path) -> tuple[list[tuple[Path, Path]], list[FileResult]]:
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
    if is_file(output):
        many = len(photos) + len(failed)
        if many != 1:
            raise ImageError(f"{output}: one file for {many} photos; name a folder as the output")
        planned = [(photo, output) for photo in photos]
    else:
        planned = [(photo, _named(output / inside)) for photo, inside in photos.items()]
    originals = {_real(photo) for photo in photos}
    pairs: dict[Path, Path] = {}  # target -> source
    for source, target in planned:
        if _real(target) in originals:
            itself = "itself" if _real(target) == _real(source) else f"the photo {target}"
            reason = f"would be written over {itself}; choose another output"
        elif target in pairs:
            reason = f"would be written to {target}, as {pairs[target]} is; restore it elsewhere"
        else:
            pairs[target] = source
            continue
        failed.append(FileResult(source, target, str(ImageError(f"{source}: {reason}"))))
    return [(source, target) for target, source in pairs.items()], failed


def _find(sources: Sequence[Path], output: Path) -> tuple[dict[Path, Path], list[FileResult]]:
    """The photos, each with its place below the output folder; the sources without any."""
    photos: dict[Path, Path] = {}
    failed: list[FileResult] = []
    given: set[Path] = set()
    for source in sources:
        try:
            found = find_photos([source])
            if source.is_dir() and _real(source) in _real(output).parents:
                found = [p for p in found if not _real(p).is_relative_to(_real(output))]
                if not found:
                    raise ImageError(f"{source}: no photographs outside of {output}")
        except ImageError as error:
            failed.append(FileResult(source, output, str(error)))
            continue
        for photo in found:
            if _real(photo) not in given:
                given.add(_real(photo))
                inside = photo.relative_to(source) if photo != source else Path(photo.name)
                photos[photo] = inside
    return photos, failed


def _real(path: Path) -> Path:
    """Where a path leads. (``Path.resolve`` raises where links go round in a circle.)"""
    return Path(os.path.realpath(path))


def is_file(output: Path) -> bool:
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
