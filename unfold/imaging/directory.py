"""The first directory of a TIFF file: its tags and their values."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from unfold.imaging.photo import ImageError

# Bytes of a value of each type, and the `struct` letters of the integer types.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
SIZES |= {16: 8, 17: 8, 18: 8}
WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
BYTES = (1, 7)


@dataclass(frozen=True)
class Directory:
    """The tags of a directory.

    Attributes:
        order: byte order, ``"<"`` or ``">"``.
        size: size of the file in bytes.
        entries: tag -> type and packed values; None for values beyond the end of the file.
    """

    order: str
    size: int
    entries: dict[int, tuple[int, bytes | None]]

    def __contains__(self, tag: int) -> bool:
        return tag in self.entries

    def many(self, tag: int) -> tuple[int, ...]:
        """The integers of a tag; empty if the tag is missing.

        Raises:
            ImageError: if the tag has no integers or occurs twice, or its values are beyond the end
                of the file.
        """
        if tag not in self.entries:
            return ()
        kind, packed = self.entries[tag]
        if packed is None:
            raise ImageError("the file is truncated; copy or download it again")
        if kind not in WHOLE or not packed:
            raise ImageError(
                f"its tag {tag} does not hold integers, or occurs twice; convert the file to PNG"
            )
        return struct.unpack(f"{self.order}{len(packed) // SIZES[kind]}{WHOLE[kind]}", packed)

    def one(self, tag: int, default: int) -> int:
        """The first integer of a tag, or ``default``; raises the errors of `many`."""
        return (*self.many(tag), default)[0]

    def raw(self, tag: int) -> bytes | None:
        """The bytes of a tag; None if it is missing or has another type."""
        kind, packed = self.entries.get(tag, (0, None))
        return packed if kind in BYTES else None


def read_directory(file: BinaryIO) -> Directory:
    """Read the first directory of a TIFF or BigTIFF file, whose magic number was checked.

    Time and memory are proportional to the size of the file, also for a hostile file.

    Raises:
        ImageError: if the directory is truncated, or its values would be larger than the file.
    """
    size = file.seek(0, os.SEEK_END)
    start = _at(file, 0, 16, size)
    order = "<" if start[:2] == b"II" else ">"
    big = start[2:4].strip(b"\0") == b"+"
    offset, count, entry = ("Q", "Q", "HHQ8s") if big else ("I", "H", "HHI4s")
    at = _number(order, offset, start[8 if big else 4 :])
    length = struct.calcsize(order + count)
    entries = _number(order, count, _at(file, at, length, size))
    table = _at(file, at + length, entries * struct.calcsize(order + entry), size)
    _at(file, at + length + len(table), struct.calcsize(order + offset), size)  # (the next)
    found: dict[int, tuple[int, bytes | None]] = {}
    seen: set[int] = set()
    budget = 2 * size  # (two resolutions may share their bytes)
    for tag, kind, values, inline in struct.iter_unpack(order + entry, table):
        wanted = values * SIZES.get(kind, 0)
        if wanted > len(inline):
            budget -= wanted
            if budget < 0:
                raise ImageError(
                    "its tags claim more than the file holds; copy or download it again"
                )
            place = _number(order, offset, inline)
            found[tag] = kind, _at(file, place, wanted, size) if place + wanted <= size else None
        else:
            found[tag] = kind, inline[:wanted]
        if tag in seen:  # (Readers disagree about which of the two values holds.)
            found[tag] = kind, b""
        seen.add(tag)
    return Directory(order, size, found)


def _number(order: str, letter: str, packed: bytes) -> int:
    return struct.unpack_from(order + letter, packed)[0]


def _at(file: BinaryIO, place: int, length: int, size: int) -> bytes:
    if place + length > size:
        raise ImageError("the file is truncated; copy or download it again")
    file.seek(place)
    return file.read(length)
