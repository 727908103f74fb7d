"""Files that one process has at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from unfold.errors import UnfoldError


class BusyError(UnfoldError, OSError):
    """Another process has the file; ``owner`` is its number, where that is known."""

    def __init__(self, owner: str) -> None:
        super().__init__(f"in use by process {owner}")
        self.owner = owner


def lock(file: IO) -> None:
    """Take a file that is open for writing, until it is closed or this process ends.

    (Where there are no such locks, on Windows and some file systems, nothing happens.)

    Raises:
        BusyError: another process has it.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        # (Not flock: child processes would inherit it, and hold it after this one is killed.)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise BusyError(_owner(file)) from error
    except OSError:
        return


@contextlib.contextmanager
def held(path: Path, busy: type[UnfoldError], doing: str) -> Iterator[None]:
    """The folder of a file, for this process alone as long as it has the file, which is made.

    Args:
        path: of the file; its folder exists.
        busy: raised where another process has it.
        doing: what that process does, for the message: "is training there".
    """
    with path.open("ab") as file:
        try:
            lock(file)
        except BusyError as error:
            raise busy(
                f"{path.parent}: process {error.owner} {doing}; wait for it, or choose another "
                "folder"
            ) from error
        yield


def _owner(file: IO) -> str:
    """The process that has a file, as Linux tells it."""
    inode = os.fstat(file.fileno()).st_ino
    try:
        with open("/proc/locks", encoding="ascii") as locks:
            for line in locks:
                words = line.split()
                if words[1] == "POSIX" and words[5].endswith(f":{inode}"):
                    return words[4]
    except (OSError, IndexError):
        pass
    return "?"
