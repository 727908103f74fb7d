"""Records of a training: CSV files, and optionally TensorBoard."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unfold._files import replace_file

from .error import TrainingError


class Table:
    """A CSV file with rows for steps. On resuming, rows of later steps are removed.

    It contains no times, so two runs of one recipe write the same file. Changes other than new rows
    are written to a new file that replaces the old one, so that no row is lost if the process is
    killed or the disk is full.
    """

    def __init__(self, path: Path, *, step: int) -> None:
        """Open a file.

        Args:
            path: path of the file, which is created if necessary.
            step: rows of later steps and a truncated row are removed.
        """
        self._path = path
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        kept = [x for x in lines[1:] if x.endswith("\n") and int(x.split(",")[0]) <= step]
        whole = lines[:1] + kept if kept else []
        if whole != lines:
            replace_file(path, "".join(whole).encode(), durable=True)
        self._columns = whole[0].strip().split(",") if whole else []
        self._open()

    def _open(self) -> None:
        self._file = self._path.open("a", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file, lineterminator="\n")

    def add(self, step: int, values: Mapping[str, Any]) -> None:
        """Write the row of a step. New names become columns."""
        row = {"step": step, **values}
        new = [name for name in row if name not in self._columns]
        if new:
            self._widen(new)
        self._writer.writerow([row.get(column, "") for column in self._columns])
        self._file.flush()

    def _widen(self, new: list[str]) -> None:
        """Start the file; or, if the recipe has changed, add empty fields to its rows."""
        rows = self._path.read_text(encoding="utf-8").splitlines()[1:]
        self._columns = [*self._columns, *new]
        lines = [",".join(self._columns), *(row + "," * len(new) for row in rows)]
        self._file.close()
        replace_file(self._path, "".join(f"{line}\n" for line in lines).encode(), durable=True)
        self._open()

    def sync(self) -> None:
        """See that what was written outlives this process."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def check_there(self) -> None:
        """Raises TrainingError if the file was removed after it was opened."""
        if not self._path.exists():
            raise TrainingError(
                f"{self._path}: was removed during the training; the new checkpoint is kept, and "
                "the same command continues from it"
            )

    def close(self) -> None:
        # (A row that found no room is tried again by close: who wrote it has been given already.)
        with contextlib.suppress(OSError):
            self._file.close()


class Board:
    """The event files of TensorBoard."""

    def __init__(self, folder: Path, *, step: int) -> None:
        """Raises TrainingError if tensorboard is not installed."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise TrainingError(
                "TensorBoard is not installed: pip install 'unfold-imaging[tensorboard]'"
            ) from error
        self._writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def add(self, step: int, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class Records:
    """All records of a training: ``losses.csv``, ``validation.csv``, TensorBoard's files."""

    def __init__(self, folder: Path, *, step: int, board: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for rest in folder.glob(f".*.{'[0-9a-f]' * 8}.tmp"):  # of a run that was killed
            rest.unlink()
        self._tables = {
            name: Table(folder / f"{name}.csv", step=step) for name in ("losses", "validation")
        }
        self._board = Board(folder / "tensorboard", step=step) if board else None

    def add(self, table: str, step: int, values: Mapping[str, Any]) -> None:
        """Write the values of a step."""
        self._tables[table].add(step, values)
        if self._board is not None:
            self._board.add(step, {f"{table}/{name}": value for name, value in values.items()})

    def check_there(self) -> None:
        """Check that the files and their folder still exist.

        Raises:
            TrainingError: if one was removed.
        """
        for table in self._tables.values():
            table.check_there()

    def sync(self) -> None:
        """See that what was written outlives this process."""
        for table in self._tables.values():
            table.sync()

    def close(self) -> None:
        for table in self._tables.values():
            table.close()
        if self._board is not None:
            self._board.close()
