"""The size of a picture, from its file's header, and whether the file ends where it should."""

from __future__ import annotations

import os
import stat
import struct
import warnings
from pathlib import Path
from typing import BinaryIO

from unfold.errors import UnfoldError

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
JPEG_END = b"\xff\xd9"


class HeaderError(UnfoldError, ValueError):
    """A file that is no whole picture; one line, without the path, says why and what to do."""


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) of the picture in a PNG, JPEG or TIFF file, upright, without decoding it.

    Raises:
        HeaderError: there is no such file, it is no picture, or it is cut short. (Damage in its
            midst is seen only by whoever decodes it.)
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading from a pipe might never end
            raise HeaderError("this is no regular file; copy a picture there")
        if not status.st_size:
            raise HeaderError("the file is empty; get it again")
        with path.open("rb") as file, warnings.catch_warnings():  # Pillow's, about metadata
            warnings.simplefilter("ignore")
            width, height, orientation = _header(file, status.st_size)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise HeaderError(f"cannot be read ({reason}); get it again") from error
    return (height, width) if orientation >= 5 else (width, height)


def _header(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Width, height, EXIF orientation."""
    from unfold.imaging import ImageError

    start = file.read(8)
    file.seek(0)
    if start.startswith(JPEG):
        read = _jpeg
    elif start == PNG:
        read = _png
    elif start.startswith(TIFF):
        read = _tiff
    else:
        raise HeaderError("not a PNG, JPEG or TIFF file; convert it to PNG")
    try:
        return read(file, size)
    except HeaderError:
        raise
    except ImageError as error:
        raise HeaderError(str(error)) from error
    except Exception as error:  # Pillow's parsers fail in many ways
        reason = " ".join(str(error).split()) or type(error).__name__
        raise HeaderError(f"its header is damaged ({reason}); get it again") from error


def _png(file: BinaryIO, size: int) -> tuple[int, int, int]:
    from unfold.imaging.io import MAX_PIXELS
    from unfold.imaging.png import START, check_start
    from unfold.imaging.raster import exif_orientation

    start = file.read(START)
    check_start(start, size, MAX_PIXELS)
    at, name, exif = len(PNG), b"", b""
    while name != b"IEND":  # chunk by chunk: more may follow the last
        file.seek(at)
        if at + 12 > size:
            raise HeaderError("the file is cut short; get it again")
        length, name = struct.unpack(">I4s", file.read(8))
        at += 12 + length
        if name == b"eXIf" and not exif:
            exif = b"Exif\0\0" + file.read(length)
    if at > size:
        raise HeaderError("the file is cut short; get it again")
    width, height = struct.unpack(">II", start[16:24])
    return width, height, exif_orientation(exif) if exif else 1


def _jpeg(file: BinaryIO, size: int) -> tuple[int, int, int]:
    from PIL.JpegImagePlugin import JpegImageFile

    from unfold.imaging.io import MAX_PIXELS
    from unfold.imaging.jpeg import EXPANSION
    from unfold.imaging.raster import check_held, check_size, exif_orientation

    picture = JpegImageFile(file)
    check_size(*picture.size, MAX_PIXELS)
    check_held(picture.width * picture.height, size, EXPANSION)
    scan = file.tell()  # earlier, a thumbnail may have an end of its own
    if _tail(file, len(JPEG_END), size) != JPEG_END:
        file.seek(scan)
        if JPEG_END not in file.read():
            raise HeaderError("the file is cut short; get it again")
    exif = picture.info.get("exif")
    return *picture.size, exif_orientation(exif) if exif else 1


def _tiff(file: BinaryIO, size: int) -> tuple[int, int, int]:
    from unfold.imaging.directory import read_directory
    from unfold.imaging.io import MAX_PIXELS
    from unfold.imaging.raster import known_orientation
    from unfold.imaging.tiff import HEIGHT, ORIENTATION, WIDTH, held_blocks

    directory = read_directory(file)
    held_blocks(directory, MAX_PIXELS)
    orientation = known_orientation(directory.one(ORIENTATION, 1))
    return directory.one(WIDTH, 0), directory.one(HEIGHT, 0), orientation


def _tail(file: BinaryIO, length: int, size: int) -> bytes:
    file.seek(max(0, size - length), os.SEEK_SET)
    return file.read(length)
