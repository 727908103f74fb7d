"""One training a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from unfold import _lock

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
        with _lock.held(path, TrainingError, "is training there"):
            yield
    finally:
        if new and [*folder.iterdir()] == [path]:
            path.unlink()
            folder.rmdir()
