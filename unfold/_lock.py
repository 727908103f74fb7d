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
def held(path: Path, refusal: type[UnfoldError], doing: str, *, mark: str = "") -> Iterator[None]:
    """The folder of a file, for this process alone as long as it has the file; both are made.

    The file stays, and says that the folder is ours. A folder that was made and in which nothing
    came to stand is taken away again.

    Args:
        path: of the file.
        refusal: raised where another process has it, or the folder holds files of others.
        doing: what that process does, for the message: "is training there".
        mark: a pattern of what says so, too, as the folders of older versions lack the file.

    Raises:
        OSError: the folder or the file cannot be made.
    """
    folder = path.parent
    new = not folder.is_dir()
    ours = new or path.exists() or bool(mark and any(folder.glob(mark)))
    if not ours and any(folder.iterdir()):
        raise refusal(f"{folder}: holds other files; choose a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("ab") as file:
            try:
                lock(file)
            except BusyError as error:
                raise refusal(
                    f"{folder}: process {error.owner} {doing}; wait for it, or choose another "
                    "folder"
                ) from error
            yield
    finally:
        with contextlib.suppress(OSError):
            if new and [*folder.iterdir()] == [path]:
                path.unlink()
                folder.rmdir()


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
