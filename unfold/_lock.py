"""Files that one process has at a time."""

from __future__ import annotations

import os
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
