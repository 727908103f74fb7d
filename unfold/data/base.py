"""Data sets on disk: which files belong together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar


class DataError(ValueError):
    """A data set that is not laid out as it should be.

    Attributes:
        faults: one line for each thing that is wrong; the message holds all of them.
    """

    def __init__(self, summary: str, faults: Sequence[str] = ()) -> None:
        super().__init__("\n  ".join((summary, *faults)))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Pair:
    """The files of one photo.

    Attributes:
        name: unique in its data set, with ``/`` between its parts, without a suffix
            (``"0012/0034"``).
        input: the bad photo.
        target: the good one, where there is one.
        views: further pictures of it by name, such as a dual-pixel camera's ``"left"``.
        sequence: what it is a frame of, or empty.
        clip: within a sequence, frames of one clip follow one another without a gap.
    """

    name: str
    input: Path
    target: Path | None = None
    views: Mapping[str, Path] = field(default_factory=dict)
    sequence: str = ""
    clip: int = 0


class Dataset(ABC, Sequence[Pair]):
    """The photos of one data set, found and checked when it is made, read by whoever wants them.

    Attributes:
        title: what the data set is called.
        source: where to get it.
        splits: the splits there are; empty where there is but one.
    """

    title: ClassVar[str]
    source: ClassVar[str] = ""
    splits: ClassVar[tuple[str, ...]] = ()

    def __init__(self, root: str | Path, split: str = "") -> None:
        """Find the photos of a split.

        Args:
            root: the data set's folder.
            split: one of ``splits``; by default the last of them, the one to test on.

        Raises:
            DataError: all that is missing or does not match, in one message, and where to get
                the data set.
        """
        self.root = Path(root)
        self.split = split or (self.splits[-1] if self.splits else "")
        if self.splits and self.split not in self.splits:
            raise DataError(
                f"{self.title} has no split {split!r}; there are {', '.join(self.splits)}"
            )
        if not self.root.is_dir():
            raise DataError(f"{self.root}: there is no such folder{self._remedy()}")
        faults: list[str] = []
        self.pairs = self.find(faults)
        if faults or not self.pairs:
            summary = f"{self.root} is not laid out as {self.title}"
            raise DataError(f"{summary}{self._remedy()}", faults or ["it holds no photo"])

    @abstractmethod
    def find(self, faults: list[str]) -> tuple[Pair, ...]:
        """The pairs under ``self.root``, sorted by name; what is wrong is added to ``faults``."""

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index):
        return self.pairs[index]

    def __iter__(self) -> Iterator[Pair]:
        return iter(self.pairs)

    def _remedy(self) -> str:
        return f" (get it from {self.source})" if self.source else ""
