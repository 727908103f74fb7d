"""Files put in place at one stroke."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path


def replace_file(
    path: Path, data: bytes, *, durable: bool = False, temporary: Path | None = None
) -> None:
    """Write a file that appears whole or not at all, with the rights of the one it replaces.

    Args:
        path: of the file; its folder exists.
        data: all of it.
        durable: wait until the disk has it, so that it outlives a loss of power.
        temporary: where it is written first, in the same folder; by default a new name.

    Raises:
        OSError: it cannot be written; what stood there stands, and nothing is left beside it.
    """
    # (Not called after the file: the longest name that is allowed would get too long.)
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
        if isinstance(error, OSError) and error.filename is None:  # a full disk names no file
            error.filename = str(path)
        raise
