"""Atomic replacement of files."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path


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
