"""Restoration of many photos, which reads the next one and writes the previous one meanwhile."""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from unfold._heap import kept_heap
from unfold.errors import InputError
from unfold.imaging import ImageError, Photo, size_of, write
from unfold.imaging.io import MAX_PIXELS, contents, decode, encode, writing
from unfold.restorer import Restorer

from .files import FileResult, Shard
from .findings import sentence, with_focus
from .journal import Journal, SourceFile
from .tiling import Restored, TiledInference
from .trust import picture as trust_picture
from .trust import sentence as trust_sentence

# Bytes that reading or writing takes for each pixel: two copies in float32, samples, the file.
_IO = 32
# Photos of the same size are looked for in the next so many batches.
_WINDOW = 32

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


def restore_files(
    model: Restorer,
    pairs: Sequence[tuple[Path, Path]],
    *,
    kernel: Tensor | None = None,
    device: torch.device | str = "cpu",
    max_pixels: int = MAX_PIXELS,
    memory: int | None = None,
    verify: bool = False,
    journal: Journal | None = None,
    again: bool = False,
    shard: Shard | None = None,
    batch: int = 1,
    trust: Path | None = None,
) -> Iterator[FileResult]:
    """Restore several photos. An error of one photo does not stop the others.

    Gray photos stay gray; alpha and color profile are kept. While a photo is restored the next one
    is read and the previous one is written, if all fit into the memory. Results are returned in
    order, each when its file is written.

    A small photo does not use a GPU fully. With a ``batch`` above 1, photos of the same size are
    collected (which changes the order, within a few dozen batches) and restored together if they
    fit into the memory. Rounding then differs by about 1e-6 of white.

    Args:
        model: the model, which is moved to ``device`` and set to eval mode.
        pairs: paths of input and output, see `plan`.
        kernel: kernel of the blur, if it is known.
        device: device of the computation.
        max_pixels: largest number of pixels of a photo; larger photos fail.
        memory: memory in bytes, see `TiledInference`.
        verify: whether the seams of tiles are checked; a note states their error.
        journal: records each photo; photos that it records as done are skipped.
        again: whether these photos are restored, too.
        shard: the shard of the photos to restore.
        batch: largest number of photos that are restored at once.
        trust: for a single photo: path of the picture of its trust (see
            `unfold.restoration.trust.picture`).

    Raises:
        InputError: if ``batch`` is below 1, or ``trust`` is given for several photos.
        UnfoldError: if ``trust`` is given and the model is not unrolled.

    Example:
        >>> import tempfile, torch, unfold
        >>> from pathlib import Path
        >>> from unfold.imaging import Photo, read, write
        >>> from unfold.restoration import restore_files
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     dark, bright = Path(folder, "dark.png"), Path(folder, "bright.png")
        ...     write(dark, Photo(torch.full((3, 32, 32), 0.1)))
        ...     model = unfold.create_model("zero-dce", pretrained=True)
        ...     [result.error for result in restore_files(model, [(dark, bright)])]
        ...     bool(read(bright).image.mean() > 0.2)
        [None]
        True
    """
    if trust and len(pairs) > 1:
        raise InputError(
            f"{trust}: is the map of one photo, got {len(pairs)} photos; restore them one by one"
        )
    if batch < 1:
        raise InputError(f"batch must be at least 1, got {batch}")
    device = torch.device(device)
    model = model.to(device).eval()
    restorer = TiledInference(
        model, kernel=kernel, device=device, memory=memory, verify=verify, trust=trust is not None
    )
    take = functools.partial(
        _take, max_pixels=max_pixels, journal=journal, again=again, shard=shard
    )
    give = functools.partial(_give, journal=journal, trust=trust)
    reading: Future[list[_Taken | FileResult]] | None = None
    writing: Future[list[FileResult]] | None = None
    with kept_heap(), ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        for group, after in itertools.pairwise(itertools.chain(_groups(pairs, batch), [()])):
            current, reading = reading or reader.submit(_each, take, group), None
            taken, current = current.result(), None  # (or it would keep the photos)
            roomy = _roomy(restorer, taken, after)
            if roomy and after:
                reading = reader.submit(_each, take, after)
            elif not roomy and writing:
                writing.exception()  # wait
            made = _restore(restorer, taken, verify)
            del taken
            done = writer.submit(_each, give, made)
            del made  # (all that is held here stays in memory while it is written)
            if not roomy:
                done.exception()
            if writing:
                yield from writing.result()
            writing = done
        if writing:
            yield from writing.result()


@dataclass(frozen=True)
class _Taken:
    """A photo, its source file, its output, and later its result."""

    source: SourceFile
    target: Path
    photo: Photo
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: str | None = None
    trust: Tensor | None = None


def _groups(
    pairs: Sequence[tuple[Path, Path]], batch: int
) -> Iterator[Sequence[tuple[Path, Path]]]:
    """Pairs to be restored at once: up to ``batch`` photos of one size, according to their
    headers."""
    if batch == 1:
        yield from ([pair] for pair in pairs)
        return
    for window in _chunks(pairs, _WINDOW * batch):
        alike: dict[tuple[int, int] | None, list[tuple[Path, Path]]] = {}
        for pair in window:
            alike.setdefault(_size(pair[0]), []).append(pair)
        for group in alike.values():
            yield from _chunks(group, batch)


def _chunks(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[first : first + size] for first in range(0, len(items), size))


def _each(function: Callable[[_Item], _Made], items: Sequence[_Item]) -> list[_Made]:
    return [function(item) for item in items]


def _take(
    pair: tuple[Path, Path],
    *,
    max_pixels: int,
    journal: Journal | None,
    again: bool,
    shard: Shard | None,
) -> _Taken | FileResult:
    """Read a photo, if it is to be restored."""
    path, target = pair
    source: SourceFile | Path = path
    known = None if again else journal
    if known and known.unchanged(path, target):
        return FileResult(path, target, state="done before")
    try:
        try:
            data, status = contents(path)
            digest = hashlib.sha256(data).hexdigest() if journal or shard else ""
            source = SourceFile(path, digest, status.st_size, status.st_mtime_ns)
        except ImageError:  # what cannot be read goes to a shard by its name
            digest = hashlib.sha256(os.fsencode(target)).hexdigest()
            if shard and not shard.has(digest):
                return FileResult(path, target, state="another shard's")
            raise
        if shard and not shard.has(digest):
            return FileResult(path, target, state="another shard's")
        if known and known.holds(source, target):
            return FileResult(path, target, state="done before")
        return _Taken(source, target, decode(path, data, max_pixels=max_pixels))
    except ImageError as error:
        if journal:
            journal.fail(source, target, str(error))
        return FileResult(path, target, str(error))


def _roomy(
    restorer: TiledInference,
    taken: Sequence[_Taken | FileResult],
    after: Sequence[tuple[Path, Path]],
) -> bool:
    """Whether the memory is sufficient for these photos and for the next ones."""
    photos = [item.photo.image for item in taken if isinstance(item, _Taken)]
    if not photos:
        return True
    beside = sum(image[0].numel() for image in photos)
    beside += sum(math.prod(_size(source) or (0,)) for source, _ in after)
    largest = max(photos, key=torch.numel)
    return _fits(restorer, largest, beside=_IO * beside, batch=len(photos))


def _fits(restorer: TiledInference, image: Tensor, *, beside: int = 0, batch: int = 1) -> bool:
    try:
        return restorer.fits(image, beside=beside, batch=batch)
    except (RuntimeError, ValueError, MemoryError):  # a model that fails will say so on the photo
        return False


def _restore(
    restorer: TiledInference, taken: Sequence[_Taken | FileResult], verify: bool
) -> list[_Taken | FileResult]:
    photos = [item for item in taken if isinstance(item, _Taken)]
    made = _restore_together(restorer, photos, verify)
    found = iter(made or [_restore_one(restorer, photo, verify) for photo in photos])
    return [next(found) if isinstance(item, _Taken) else item for item in taken]


def _restore_together(
    restorer: TiledInference, photos: Sequence[_Taken], verify: bool
) -> list[_Taken] | None:
    """Restore photos together; None if they must be restored separately (one of them may fail)."""
    images = [photo.photo.image for photo in photos]
    if len({image.shape for image in images}) != 1 or len(images) == 1:
        return None
    if not _fits(restorer, images[0], batch=len(images)):
        return None
    begin = time.perf_counter()
    try:
        restored = restorer.restore_batch(images)
    except (RuntimeError, ValueError, MemoryError):
        return None
    seconds = (time.perf_counter() - begin) / len(images)
    return [_made(*one, seconds, verify) for one in zip(photos, restored, strict=True)]


def _restore_one(restorer: TiledInference, taken: _Taken, verify: bool) -> _Taken:
    image, path = taken.photo.image, taken.source.path
    begin = time.perf_counter()
    try:
        restored = restorer(image)
    except (RuntimeError, ValueError, MemoryError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        failed = ImageError(
            f"{path}: {type(restorer.model).__name__} failed on {image.shape[-1]}×"
            f"{image.shape[-2]} pixels ({reason[:300]})"
        )
        return replace(taken, error=str(failed))
    return _made(taken, restored, time.perf_counter() - begin, verify)


def _made(taken: _Taken, restored: Restored, seconds: float, verify: bool) -> _Taken:
    return replace(
        taken,
        photo=replace(taken.photo, image=restored.image),
        seconds=seconds,
        notes=_notes(taken, restored, verify),
        trust=restored.trust and trust_picture(restored.trust),
    )


def _give(made: _Taken | FileResult, *, journal: Journal | None, trust: Path | None) -> FileResult:
    """Write a result, and record it in the journal if there is one."""
    if isinstance(made, FileResult):
        return made
    path, target, error = made.source.path, made.target, made.error
    if error is None:
        error = _write(made, journal)
    if error is None and trust and made.trust is not None:
        error = _write(replace(made, target=trust, photo=Photo(made.trust)), None)
    if error is None:
        return FileResult(path, target, notes=made.notes)
    if journal:
        journal.fail(made.source, target, error)
    return FileResult(path, target, error)


def _write(made: _Taken, journal: Journal | None) -> str | None:
    """The error of writing the photo; None if it is written."""
    target = made.target
    try:
        if journal is not None:
            journal.check_there()  # (or the folder would be made anew, without it)
        target.parent.mkdir(parents=True, exist_ok=True)
    except ImageError as error:
        return str(ImageError(f"{made.source.path}: {error}"))
    except OSError as error:
        reason = f"the folder {target.parent} cannot be made ({error.strerror})"
        return str(ImageError(f"{made.source.path}: {reason}; choose another output"))
    try:
        if journal is None:
            write(target, made.photo)
        else:
            data = encode(target, made.photo)
            with writing(target):
                journal.put(made.source, target, data, made.seconds)
    except ImageError as error:
        return str(error)
    return None


def _notes(taken: _Taken, restored: Restored, verify: bool) -> tuple[str, ...]:
    """The findings, and remarks on the tiles."""
    source, found = taken.source.path, sentence(with_focus(restored.found, taken.photo.image))
    notes = [f"{source}: {found}"] if found else []
    notes += [f"{source}: {trust_sentence(restored.trust)}"] if restored.trust else []
    notes += [f"{source}: {tiling}" for tiling in restored.tilings if verify]
    if verify and not restored.tilings:
        notes.append(f"{source}: restored without tiles, there are no seams")
    notes += [
        f"{source}: the receptive field of {tiling.model} exceeds "
        f"{tiling.receptive_field.radius} pixels: tiles may differ from the whole photo by "
        f"{tiling.receptive_field.error:.1e} of white; allow more memory"
        for tiling in restored.tilings
        if not tiling.receptive_field.found
    ]
    return tuple(str(ImageError(note)) for note in notes)  # (which keeps them on one line)


def _size(path: Path) -> tuple[int, int] | None:
    """The size in the header; None for a file that cannot be read."""
    try:
        return size_of(path)
    except ImageError:
        return None
