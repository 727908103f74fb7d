"""Files and folders: atomic replacement, names in messages, locks of one process at a time."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .errors import UnfoldError


def replace_file(
    path: Path, data: bytes, *, durable: bool = False, temporary: Path | None = None
) -> None:
    """Write a file atomically, with the permissions of the file that it replaces.

    Args:
        path: path of the file, in an existing folder.
        data: contents of the file.
        durable: whether to wait until the data are on the disk, so that they survive a power
            failure.
        temporary: path of the temporary file, in the same folder; by default a new name.

    Raises:
        OSError: if the file cannot be written. The old file is then unchanged, and the temporary
            file is deleted.
    """
    # (Not derived from the name of the file, which may already have the maximum length.)
    temporary = temporary or path.with_name(f".unfold.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # as on a full disk
            error.filename = str(path)
        raise


def one_line(text: str) -> str:
    """Text in which line breaks and undecodable bytes of file names are escaped
    (``\\n``, ``\\udcff``)."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class BusyError(UnfoldError, OSError):
    """Raised if another process holds the lock; ``owner`` is its number, or "?" if unknown."""

    def __init__(self, owner: str) -> None:
        super().__init__(f"in use by process {owner}")
        self.owner = owner


def lock(file: IO) -> None:
    """Lock a file that is open for writing, until it is closed or this process ends.

    Has no effect on systems without such locks (Windows, some file systems).

    Raises:
        BusyError: if another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        # (Not flock, which child processes inherit and keep after this process is killed.)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise BusyError(_owner(file)) from error
    except OSError:
        return


@contextlib.contextmanager
def held(path: Path, refusal: type[UnfoldError], doing: str, *, mark: str = "") -> Iterator[None]:
    """A context in which only this process uses a folder, which is locked by a file in it.

    Creates the folder and the file. The file remains, and marks the folder as one that the library
    may write to. A new folder in which no other file was created is deleted.

    Args:
        path: path of the lock file in the folder.
        refusal: error to raise if another process holds the lock, or the folder contains files but
            no lock file.
        doing: activity of the other process, for the message: "is training there".
        mark: pattern of files that also mark the folder, for folders of older versions, which have
            no lock file.

    Raises:
        OSError: if the folder or the file cannot be created.
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
    """The number of the process that locks a file, which Linux reports; otherwise "?"."""
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
