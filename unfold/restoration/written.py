"""The outputs in a folder that its journals record."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any


class Written:
    """The SHA-256 of every output that the journals of a folder record, by its name.

    Args:
        journal: the journal whose records are added by `note`. The other journals of its folder,
            named ``unfold-journal*.jsonl``, are read if an unknown file already exists, and again
            if they have changed.
        read: function that returns the records of a journal, and raises an OSError if it does
            not exist.
    """

    def __init__(self, journal: Path, read: Callable[[Path], Iterable[Mapping[str, Any]]]) -> None:
        self._journal, self._read = journal, read
        self._hashes: dict[str, set[str]] = {}
        self._seen: dict[Path, tuple[int, int]] = {}

    def note(self, record: Mapping[str, Any]) -> None:
        """Add an output, if the record is of an output."""
        if "output_sha256" in record and "target" in record:
            self._hashes.setdefault(record["target"], set()).add(record["output_sha256"])

    def tells_of(self, name: str) -> bool:
        """Whether an output with that name, relative to the folder, was ever written."""
        if name not in self._hashes:
            self._look_again()
        return name in self._hashes

    def made(self, name: str, file: Path) -> bool:
        """Whether a file is equal, byte for byte, to the output that was written under that name.

        Raises:
            OSError: if it cannot be read.
        """
        digest = hashlib.sha256()
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
        found = digest.hexdigest()
        if found not in self._hashes.get(name, ()):
            self._look_again()
        return found in self._hashes.get(name, ())

    def _look_again(self) -> None:
        for path in {*self._journal.parent.glob("unfold-journal*.jsonl")} - {self._journal}:
            with contextlib.suppress(FileNotFoundError):  # a chunk's, taken over meanwhile
                status = os.stat(path)
                version = (status.st_size, status.st_mtime_ns)
                if self._seen.get(path) != version:
                    for record in self._read(path):
                        self.note(record)
                    self._seen[path] = version
