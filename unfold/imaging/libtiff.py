"""Pillow's TIFF decoder, without its pixel limit and without libtiff's messages.

``read`` has already checked ``max_pixels``. For damaged files, libtiff prints messages to the
standard error stream, in addition to the error that Pillow raises.
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

# The settings are those of the process: two threads must not restore each other's.
LOCK = threading.Lock()


def load(data: bytes) -> TiffImageFile:
    """Decode the first image of a TIFF file; raises Pillow's errors."""
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
    """Discard what C code writes to file descriptor 2."""
    try:
        stderr = os.dup(2)
    except OSError:  # There is no standard error stream.
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
