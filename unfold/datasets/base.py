"""Data sets on disk: the files of each photo."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from unfold._files import one_line
from unfold.errors import UnfoldError


class DataError(UnfoldError, ValueError):
    """Raised if files of a data set are missing, damaged or unmatched.

    Attributes:
        errors: one line for each error; the message contains all of them.

    Example:
        >>> from unfold.datasets.plain import Paired
        >>> Paired("nowhere")
        Traceback (most recent call last):
            ...
        unfold.datasets.base.DataError: nowhere: there is no such folder; a paired folder ...
    """

    def __init__(self, summary: str, errors: Sequence[str] = ()) -> None:
        self.errors = tuple(one_line(problem) for problem in errors)
        super().__init__("\n  ".join((one_line(summary), *self.errors)))


@dataclass(frozen=True)
class Pair:
    """The files of one photo.

    Attributes:
        name: unique name in the data set, with ``/`` between its parts and without a suffix
            (``"0012/0034"``).
        input: the degraded photo.
        target: the sharp, well-exposed photo, if there is one.
        views: further pictures of the scene by name, such as a dual-pixel camera's ``"left"``.
        kernel_path: path of the blur kernel, if it is known (see `unfold.restoration.read_kernel`).
        sequence: name of the sequence that it is a frame of, or empty.
        clip: number of the clip within the sequence; only frames of one clip are consecutive (see
            `unfold.datasets.windows`).

    Example:
        >>> from pathlib import Path
        >>> from unfold.datasets import Pair
        >>> pair = Pair("street", Path("dark/street.png"), Path("bright/street.png"))
        >>> [file.parent.name for file in pair.files]
        ['dark', 'bright']
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
        """All photos of the pair, the input first."""
        target = () if self.target is None else (self.target,)
        return (self.input, *target, *self.views.values())


class Dataset(ABC, Sequence[Pair]):
    """The photos of one data set: a sequence of `Pair`, found and checked at construction.

    The check reads the names of all files and the header and end of each file: every photo must
    exist, be complete, and have the size of the other photos of its pair.

    Attributes:
        title: name of the data set.
        layout: description of the folders and files.
        source: where the data set is available.
        splits: names of the splits; empty if there is only one.
        pairs: the photos, sorted by name.
        errors: one line for each faulty photo; empty unless ``strict`` is False.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.datasets import Dataset, Pair
        >>> from unfold.imaging import Photo, write
        >>> class Folder(Dataset):
        ...     title = "my photos"
        ...     def find(self, errors):
        ...         return tuple(Pair(path.stem, path) for path in sorted(self.root.glob("*.png")))
        >>> with tempfile.TemporaryDirectory() as root:
        ...     write(Path(root, "a.png"), Photo(torch.rand(3, 8, 8)))
        ...     write(Path(root, "b.png"), Photo(torch.rand(3, 8, 8)))
        ...     [pair.name for pair in Folder(root)]
        ['a', 'b']
    """

    title: ClassVar[str]
    layout: ClassVar[str] = ""
    source: ClassVar[str] = ""
    splits: ClassVar[tuple[str, ...]] = ()

    def __init__(self, root: str | os.PathLike[str], split: str = "", *, strict: bool = True):
        """Find the photos of a split.

        Args:
            root: folder of the data set.
            split: one of ``splits``; by default the last, which is the test split.
            strict: whether any error is raised. If False, faulty photos are left out and recorded
                in ``errors``.

        Raises:
            DataError: if files are missing or unmatched; the message lists all of them and the
                source of the data set. With ``strict=False``, only if no photo is left.
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

        Missing folders and photos without counterpart are added to ``errors``, one line each. The
        contents of the files are checked by the caller.
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
    """The pairs whose files are photos of one size; the others are recorded as errors."""

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
