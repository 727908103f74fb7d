"""A folder of photos by name, and matching of two folders."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .base import Pair


@dataclass(frozen=True)
class Folder:
    """The photos below a folder.

    Attributes:
        place: path of the folder, relative to the data set's.
        photos: name -> file in natural order. A name is the file's path relative to the folder,
            with ``/`` and without suffix.
    """

    place: str
    photos: Mapping[str, Path]


def list_folder(root: Path, place: str, errors: list[str]) -> Folder:
    """The photos below ``root / place``: PNG, JPEG and TIFF, by a suffix in upper or lower case.

    Hidden entries and links to a parent folder are ignored. It is an error if the folder does not
    exist, has no photo or two photos of one name, or if it, a subfolder or a link cannot be
    searched (other entries are still listed).
    """
    top = root / place
    photos: dict[str, Path] = {}
    unsearchable: list[str] = []
    for file in _walk(top, place, unsearchable):
        # A letter with an accent may be one character or two, as the file system likes.
        name = unicodedata.normalize("NFC", file.relative_to(top).with_suffix("").as_posix())
        if name in photos:
            both = f"{photos[name].name} and {file.name}"
            errors.append(f"{place}: {both} are both {name}; remove one")
        photos.setdefault(name, file)
    errors += unsearchable
    if not photos and not unsearchable:
        errors.append(f"{place}: there are no photos in this folder")
    return Folder(place, dict(sorted(photos.items(), key=lambda item: natural(item[0]))))


def list_subfolders(root: Path, place: str, errors: list[str]) -> list[str]:
    """Names of the folders in ``root / place``, in natural order, without those that `list_folder`
    ignores. It is an error if the folder does not exist or cannot be searched.
    """
    top = root / place
    try:
        folders = [path for path in top.iterdir() if path.is_dir() and path.name[0] != "."]
    except OSError as error:
        errors.append(_unsearchable(place, error))
        return []
    here = top.resolve()
    down = [path.name for path in folders if not here.is_relative_to(path.resolve())]
    return sorted(down, key=natural)


def match(
    inputs: Folder, targets: Folder, errors: list[str], *, ordered: bool = False
) -> dict[str, tuple[Path, Path]]:
    """Name of the input -> input and target. Photos without a counterpart are errors.

    Photos are matched by name. With ``ordered``, they are matched by their order if no name occurs
    on both sides; different numbers of photos are then an error.
    """
    if not inputs.photos or not targets.photos:  # an error of its own, already
        return {}
    if ordered and inputs.photos.keys().isdisjoint(targets.photos):
        here, there = len(inputs.photos), len(targets.photos)
        if here != there:
            errors.append(
                f"{inputs.place} has {here} photos and {targets.place} {there}: they belong "
                "together by their order, so which are missing cannot be determined"
            )
            return {}
        targets_by_order = zip(inputs.photos.items(), targets.photos.values(), strict=True)
        return {name: (file, target) for (name, file), target in targets_by_order}
    for one, other in ((inputs, targets), (targets, inputs)):
        for name, file in one.photos.items():
            if name not in other.photos:
                where = f"{one.place}/{name}{file.suffix}"
                errors.append(f"{where}: there is no {name} in {other.place}")
    common = [name for name in inputs.photos if name in targets.photos]
    return {name: (inputs.photos[name], targets.photos[name]) for name in common}


def natural(name: str) -> tuple:
    """A key that sorts names by folder, and numbers within them by value: 2 before 10."""
    parts = [re.split(r"([0-9]+)", part) for part in name.split("/")]
    return [[int(p) if i % 2 else p for i, p in enumerate(part)] for part in parts], name


def pair_folders(
    root: Path, inputs: str, targets: str, errors: list[str], *, ordered: bool = False
) -> tuple[Pair, ...]:
    """The matching photos of two folders below ``root`` (see `match`)."""
    one, other = (list_folder(root, place, errors) for place in (inputs, targets))
    matched = match(one, other, errors, ordered=ordered)
    return tuple(Pair(name, *files) for name, files in matched.items())


def _walk(
    folder: Path, place: str, errors: list[str], above: tuple[Path, ...] = ()
) -> Iterator[Path]:
    """Photos below a folder. ``above`` are its parent folders."""
    from unfold.imaging.io import SUFFIXES

    here = folder.resolve()
    if any(one.is_relative_to(here) for one in above):
        return  # a link led back up
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        errors.append(_unsearchable(place, error))
        return
    for entry in entries:
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        try:
            below = entry.is_dir()
        except OSError as error:  # such as a link to itself
            errors.append(_unsearchable(place, error))
            continue
        if below:
            yield from _walk(path, place, errors, (*above, here))
        elif path.suffix.lower() in SUFFIXES:
            yield path


def _unsearchable(place: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{place}: there is no such folder"
    return f"{place}: {error.filename} cannot be searched ({error.strerror})"
