"""Many photos: the next is read and the last is written while one is restored."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from unfold.core import Restorer
from unfold.data.header import HeaderError, size_of
from unfold.imaging import ImageError, Photo, write
from unfold.imaging.io import MAX_PIXELS, contents, decode, encode, writing

from .file_ledger import FileLedger, Source
from .files import Outcome
from .shard import Shard
from .tiling import AnySize, Restored

# Bytes that reading or writing takes for each pixel: two copies in float32, samples, the file.
_IO = 32


def restore_files(
    model: Restorer,
    pairs: Sequence[tuple[Path, Path]],
    *,
    kernel: Tensor | None = None,
    device: torch.device | str = "cpu",
    max_pixels: int = MAX_PIXELS,
    memory: int | None = None,
    verify: bool = False,
    ledger: FileLedger | None = None,
    again: bool = False,
    shard: Shard | None = None,
) -> Iterator[Outcome]:
    """Restore photo after photo; one that fails does not stop the others.

    Grey stays grey; alpha and profile are kept. While a photo is restored the next is read and
    the one before it written, where the memory holds all of them. Outcomes come in order, each
    when its file is written.

    Args:
        model: what restores; it is moved to ``device`` and put in eval mode.
        pairs: from and to, see `plan`.
        kernel: of the blur, where it is known.
        device: to compute on.
        max_pixels: of one photo; larger ones fail.
        memory: bytes, see `AnySize`.
        verify: whether the seams of tiles are looked at again; a note says what was found.
        ledger: where each photo is put on record; what it knows to be done is not done again.
        again: restore that too.
        shard: restore this share of the photos alone.
    """
    device = torch.device(device)
    model = model.to(device).eval()
    restorer = AnySize(model, kernel=kernel, device=device, memory=memory, verify=verify)
    take = functools.partial(_take, max_pixels=max_pixels, ledger=ledger, again=again, shard=shard)
    reading: Future[_Taken | Outcome] | None = None
    writing: Future[Outcome] | None = None
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        for (source, target), after in itertools.zip_longest(pairs, pairs[1:]):
            current, reading = reading or reader.submit(take, source, target), None
            taken, current = current.result(), None  # (or it would keep the photo)
            if isinstance(taken, Outcome):
                reading = reader.submit(take, *after) if after else None
                done = Future()
                done.set_result(taken)
            else:
                beside = _IO * (taken.photo.image[0].numel() + (_pixels(after[0]) if after else 0))
                roomy = _fits(restorer, taken.photo.image, beside)
                if roomy and after:
                    reading = reader.submit(take, *after)
                elif not roomy and writing:
                    writing.exception()  # wait
                made = _restore(restorer, taken, verify)
                del taken
                done = writer.submit(_give, made, target, ledger)
                del made  # (all that is held here stays in memory while it is written)
                if not roomy:
                    done.exception()
            if writing:
                yield writing.result()
            writing = done
        if writing:
            yield writing.result()


@dataclass(frozen=True)
class _Taken:
    """A photo, and the file that it was read from; or what became of it, once it is restored."""

    source: Source
    photo: Photo
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: str | None = None


def _take(
    path: Path,
    target: Path,
    *,
    max_pixels: int,
    ledger: FileLedger | None,
    again: bool,
    shard: Shard | None,
) -> _Taken | Outcome:
    """Read a photo, if it is to be restored."""
    source: Source | Path = path
    known = None if again else ledger
    if known and known.unchanged(path, target):
        return Outcome(path, target, state="done before")
    try:
        try:
            data, status = contents(path)
            digest = hashlib.sha256(data).hexdigest() if ledger or shard else ""
            source = Source(path, digest, status.st_size, status.st_mtime_ns)
        except ImageError:  # what cannot be read goes to a shard by its name
            digest = hashlib.sha256(os.fsencode(target)).hexdigest()
            if shard and not shard.has(digest):
                return Outcome(path, target, state="another shard's")
            raise
        if shard and not shard.has(digest):
            return Outcome(path, target, state="another shard's")
        if known and known.holds(source, target):
            return Outcome(path, target, state="done before")
        return _Taken(source, decode(path, data, max_pixels=max_pixels))
    except ImageError as error:
        if ledger:
            ledger.fail(source, target, str(error))
        return Outcome(path, target, str(error))


def _fits(restorer: AnySize, image: Tensor, beside: int) -> bool:
    try:
        return restorer.fits(image, beside=beside)
    except (RuntimeError, ValueError, MemoryError):  # a model that fails will say so on the photo
        return False


def _restore(restorer: AnySize, taken: _Taken, verify: bool) -> _Taken:
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
    return replace(
        taken,
        photo=replace(taken.photo, image=restored.image),
        seconds=time.perf_counter() - begin,
        notes=_notes(path, restored, verify),
    )


def _give(made: _Taken, target: Path, ledger: FileLedger | None) -> Outcome:
    """Write what was made; on record, where there is a ledger."""
    path, error = made.source.path, made.error
    if error is None:
        error = _write(made, target, ledger)
    if error is None:
        return Outcome(path, target, notes=made.notes)
    if ledger:
        ledger.fail(made.source, target, error)
    return Outcome(path, target, error)


def _write(made: _Taken, target: Path, ledger: FileLedger | None) -> str | None:
    """Why the photo could not be written; None if it is."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"the folder {target.parent} cannot be made ({error.strerror})"
        return str(ImageError(f"{made.source.path}: {reason}; choose another output"))
    try:
        if ledger is None:
            write(target, made.photo)
        else:
            data = encode(target, made.photo)
            with writing(target):
                ledger.put(made.source, target, data, made.seconds)
    except ImageError as error:
        return str(error)
    return None


def _notes(source: Path, restored: Restored, verify: bool) -> tuple[str, ...]:
    """What the user should know of the tiles, or asked to."""
    notes = [f"{source}: {tiling}" for tiling in restored.tilings if verify]
    if verify and not restored.tilings:
        notes.append(f"{source}: restored whole, without seams")
    notes += [
        f"{source}: {tiling.model} looks further than the {tiling.reach.pixels} pixels that tiles "
        f"overlap by: they may differ by {tiling.reach.left:.1e} of white; allow more memory"
        for tiling in restored.tilings
        if not tiling.reach.found
    ]
    return tuple(str(ImageError(note)) for note in notes)  # (which keeps them on one line)


def _pixels(path: Path) -> int:
    """What its header says; 0 for a file that will not be read anyway."""
    try:
        width, height = size_of(path)
    except HeaderError:
        return 0
    return width * height
