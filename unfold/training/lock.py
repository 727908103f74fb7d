"""One training a folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .error import TrainingError


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """The folder, for this process alone for as long as it lives; made if need be.

    A folder that was made and in which nothing came to stand is taken away again.

    Raises:
        TrainingError: another process trains there.
    """
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    try:
        with path.open("a+", encoding="ascii") as file:
            _lock(file, folder)
            yield
    finally:
        if new and [*folder.iterdir()] == [path]:
            path.unlink()
            folder.rmdir()


def _lock(file: IO[str], folder: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows has no such locks
        return
    try:
        # (Not flock: workers would inherit it, and hold it on after this process is killed.)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.seek(0)
        raise TrainingError(
            f"{folder}: process {file.read().strip() or '?'} is training there; wait for it, or "
            "choose another folder"
        ) from error
    except OSError:  # nor have some file systems
        return
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
