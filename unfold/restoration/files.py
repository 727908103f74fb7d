"""Photos in files: the output of each input, and the share of a process."""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unfold.errors import InputError
from unfold.imaging import ImageError, find_photos
from unfold.imaging.io import SUFFIXES


@dataclass(frozen=True)
class FileResult:
    """The result for one photo: its output, or the error.

    Attributes:
        source, target: paths of the input and the output.
        error: why it is not restored, in one line; None if it is restored.
        notes: remarks on the restoration, one line each.
        state: ``"done before"`` and ``"another shard's"`` if there was nothing to do.

    Example:
        >>> from pathlib import Path
        >>> from unfold.restoration import FileResult
        >>> result = FileResult(Path("in/a.png"), Path("out/a.png"))
        >>> result.error or result.state
        'restored'
    """

    source: Path
    target: Path
    error: str | None = None
    notes: tuple[str, ...] = ()
    state: Literal["restored", "done before", "another shard's"] = "restored"


def plan(sources: Sequence[Path], output: Path) -> tuple[list[tuple[Path, Path]], list[FileResult]]:
    """The pairs of input and output files, and failed results for files that have no output.

    For one photo, an ``output`` with a picture's suffix is the file to write. Otherwise ``output``
    is a folder, below which the folders of ``sources`` are mirrored; photos in ``output`` itself
    are outputs of an earlier run, and left out. A file given twice is restored once. A photo whose
    output would overwrite another output or a source fails; the others are restored.

    Raises:
        ImageError: the output for several photos is the name of a picture, or the suffix of the
            output cannot be written.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.imaging import Photo, write
        >>> from unfold.restoration import plan
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     photos = Path(folder, "photos")
        ...     photos.mkdir()
        ...     write(photos / "a.png", Photo(torch.rand(3, 8, 8)))
        ...     pairs, failed = plan([photos, Path(folder, "b.png")], Path(folder, "out"))
        >>> [target.name for _, target in pairs], len(failed)
        (['a.png'], 1)
    """
    photos, failed = _find(sources, output)
    if is_file(output):
        many = len(photos) + len(failed)
        if many != 1:
            raise ImageError(
                f"{output}: is one file, got {many} photos; give a folder as the output"
            )
        planned = [(photo, output) for photo in photos]
    else:
        planned = [(photo, _named(output / inside)) for photo, inside in photos.items()]
    originals = {_real(photo) for photo in photos}
    pairs: dict[Path, Path] = {}  # target -> source
    for source, target in planned:
        if _real(target) in originals:
            itself = "the photo itself" if _real(target) == _real(source) else f"the photo {target}"
            reason = f"the output would replace {itself}; choose another output"
        elif target in pairs:
            reason = (
                f"has the same output {target} as {pairs[target]}; choose another output for it"
            )
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
                    raise ImageError(f"{source}: no photos outside of {output}")
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
    """The target of a path. (``Path.resolve`` raises on circular links.)"""
    return Path(os.path.realpath(path))


def is_file(output: Path) -> bool:
    """Whether an output is a picture, by its suffix, and not a folder.

    Example:
        >>> from pathlib import Path
        >>> from unfold.restoration import is_file
        >>> is_file(Path("restored.png")), is_file(Path("restored"))
        (True, False)
    """
    if output.is_dir():
        return False
    kind = mimetypes.guess_type(output.name)[0] or ""
    if kind.startswith("image/") and output.suffix.lower() not in SUFFIXES:
        raise ImageError(
            f"{output}: {output.suffix} cannot be written; use one of {', '.join(SUFFIXES)}"
        )
    return output.suffix.lower() in SUFFIXES


def _named(target: Path) -> Path:
    """The output of a photo with an unusual suffix is a PNG."""
    return target if target.suffix.lower() in SUFFIXES else target.with_name(target.name + ".png")


@dataclass(frozen=True)
class Shard:
    """Shard ``index``, from 1, of ``count``: the SHA-256 of a photo's bytes determines its shard.

    So photos with the same bytes belong to one shard, whatever their paths.

    Example:
        >>> import hashlib
        >>> from unfold.restoration import Shard
        >>> first, second = Shard.parse("1/2"), Shard.parse("2/2")
        >>> digest = hashlib.sha256(b"a photo's bytes").hexdigest()
        >>> first.has(digest) + second.has(digest)
        1
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """A shard from a text such as ``"2/8"``.

        Raises:
            InputError: if the text is not a shard.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise InputError(
                f"{text!r} is not a shard; write it as I/N with I from 1 to N, e.g. 2/8"
            )
        return cls(int(match[1]), int(match[2]))

    def has(self, sha256: str) -> bool:
        """Whether a photo whose bytes have this SHA-256 is of this shard."""
        return int(sha256, 16) % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}-of-{self.count}"
