"""Data sets on disk: which files belong together."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from unfold.errors import UnfoldError


class DataError(UnfoldError, ValueError):
    """A data set that is not as it should be.

    Attributes:
        errors: one line for each thing that is wrong; the message holds all of them.
    """

    def __init__(self, summary: str, errors: Sequence[str] = ()) -> None:
        self.errors = tuple(_one_line(problem) for problem in errors)
        super().__init__("\n  ".join((_one_line(summary), *self.errors)))


@dataclass(frozen=True)
class Pair:
    """The files of one photo.

    Attributes:
        name: unique in its data set, with ``/`` between its parts, without a suffix
            (``"0012/0034"``).
        input: the bad photo.
        target: the good one, where there is one.
        views: further pictures of it by name, such as a dual-pixel camera's ``"left"``.
        kernel_path: of its blur kernel, if known (see `unfold.restoration.read_kernel`).
        sequence: what it is a frame of, or empty.
        clip: within a sequence, only frames of one clip may follow one another in time (see
            `unfold.datasets.windows`).
    """

    name: str
    input: Path
    target: Path | None = None
    views: Mapping[str, Path] = field(default_factory=dict, hash=False)
    kernel_path: Path | None = None
    sequence: str = ""
    clip: int = 0

    @property
    def files(self) -> tuple[Path, ...]:
        """All of its pictures, the input first."""
        target = () if self.target is None else (self.target,)
        return (self.input, *target, *self.views.values())


class Dataset(ABC, Sequence[Pair]):
    """The photos of one data set, found and checked when it is made, read by whoever wants them.

    The check takes the names of all files and the header and end of each: every photo is there,
    is a picture that is not cut short, and has the size of those that belong to it.

    Attributes:
        title: what the data set is called.
        layout: where its files lie, in words.
        source: where to get it.
        splits: the splits there are; empty where there is but one.
        pairs: the photos, in the order of their names.
        errors: what is wrong with the others, a line each; empty unless ``strict`` is False.
    """

    title: ClassVar[str]
    layout: ClassVar[str] = ""
    source: ClassVar[str] = ""
    splits: ClassVar[tuple[str, ...]] = ()

    def __init__(self, root: str | os.PathLike[str], split: str = "", *, strict: bool = True):
        """Find the photos of a split.

        Args:
            root: the data set's folder.
            split: one of ``splits``; by default the last of them, the one to test on.
            strict: refuse a data set with any error; False goes on with the photos that have
                none, and keeps the errors.

        Raises:
            DataError: all that is missing or does not match, in one message, and where to get
                the data set; with ``strict=False`` only where no photo is left.
        """
        self.root = Path(root)
        self.split = split or (self.splits[-1] if self.splits else "")
        if self.split and self.split not in self.splits:
            known = f"there are {', '.join(self.splits)}" if self.splits else "it has none"
            raise DataError(f"{self.title} has no split {split!r}; {known}")
        if not os.path.isdir(self.root):
            raise DataError(f"{self.root}: there is no such folder; {self._remedy()}")
        errors: list[str] = []
        self.pairs = _sound(self.find(errors), self.root, errors)
        self.errors = tuple(errors)
        if not self.pairs or (errors and strict):
            rest = f" (strict=False goes on with {len(self.pairs)} others)" if self.pairs else ""
            count = f"{len(errors)} error{'s' if len(errors) != 1 else ''}{rest}"
            raise DataError(
                f"{self.root}: {count}; {self._remedy()}", errors or ["it holds no photo"]
            )

    @abstractmethod
    def find(self, errors: list[str]) -> tuple[Pair, ...]:
        """The pairs under ``self.root``, sorted by name as `folder.natural` sorts.

        Missing folders and photos without their counterparts are added to ``errors``, a line
        each. The files themselves need not be looked into: the caller does.
        """

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index):
        return self.pairs[index]

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    def _remedy(self) -> str:
        layout = f"{self.title} is laid out as {self.layout}" if self.layout else "check the path"
        return f"{layout}; get it from {self.source}" if self.source else layout


def _sound(pairs: Sequence[Pair], root: Path, errors: list[str]) -> tuple[Pair, ...]:
    """The pairs whose files are pictures of one size; the others become errors."""

    def place(file: Path) -> str:
        return file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)

    from unfold.imaging import ImageError, size_of  # (which needs torch)

    good = []
    for pair in pairs:
        sizes: dict[Path, tuple[int, int]] = {}
        for file in pair.files:
            try:
                sizes[file] = size_of(file)
            except ImageError as error:
                errors.append(f"{place(file)}: {error}")
        if len(sizes) < len(pair.files):
            continue
        if len(set(sizes.values())) > 1:
            each = ", ".join(f"{place(file)} is {w} x {h}" for file, (w, h) in sizes.items())
            errors.append(f"{pair.name}: sizes differ: {each}; crop or resize them alike")
            continue
        good.append(pair)
    return tuple(good)


def _one_line(text: str) -> str:
    """A file's name may hold a line break, or bytes that no encoding explains."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
