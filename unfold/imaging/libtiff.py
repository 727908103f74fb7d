"""Pillow's TIFF decoder, without two habits that it has for the whole process.

Pillow refuses pictures above a limit of its own (``read`` has checked ``max_pixels`` by then), and
libtiff below it prints about damage to the standard error stream, besides reporting it.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.TiffImagePlugin import TiffImageFile

# One at a time: two threads that both put the process's settings back could swap them.
LOCK = threading.Lock()


def load(data: bytes) -> TiffImageFile:
    """The first picture of a TIFF file's bytes, decoded. Raises what Pillow raises."""
    from PIL.TiffImagePlugin import TiffImageFile

    picture = TiffImageFile(io.BytesIO(data))
    with LOCK, _no_limit(), _silence():
        picture.load()
    return picture


@contextlib.contextmanager
def _no_limit() -> Iterator[None]:
    from PIL import Image

    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Lets nothing through to file descriptor 2, where C code writes."""
    try:
        stderr = os.dup(2)
    except OSError:  # there is none, hence nothing to silence
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
