"""PNG: kornia-rs decodes samples of 8 and 16 bits; Pillow decodes palettes and fewer bits.

kornia-rs does not support gray with alpha. PNG filters operate on bytes, regardless of their
meaning, so the header of such a file is replaced by that of a format with equally many bytes per
pixel: one sample of 16 bits in place of two of 8, four of 8 in place of two of 16.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from unfold.imaging.photo import ImageError
from unfold.imaging.raster import Raster, check_held, check_size, exif_orientation, from_pillow

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
COLORS = {1: GRAY, 2: GRAY_ALPHA, 3: RGB, 4: RGBA}  # by number of channels
STAND_IN = {8: (GRAY, 16), 16: (RGBA, 8)}  # bits of gray with alpha -> format read instead
START = 33  # bytes: signature and header
EXPANSION = 1032  # Deflate: 258 bytes of 2 bits
LARGEST_PROFILE = 1 << 24
# The passes of Adam7: the first pixel in x and in y, and the steps in x and in y.
PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


def decode(data: bytes, max_pixels: int) -> Raster:
    """Decode a PNG file. A transparent color becomes an alpha channel."""
    check_start(data[:START], len(data), max_pixels)
    width, height, bits, color = struct.unpack(">IIBB", data[16:26])
    chunks: dict[bytes, bytes] = {}
    for name, body, _ in _chunks(data):
        if name in (b"eXIf", b"iCCP", b"tRNS"):
            chunks.setdefault(name, bytes(body))
    if color == PALETTE or bits < 8:
        samples = _decode_narrow(data)
    else:
        samples = _decode_bytes(data, height, width, bits, color)
    if b"tRNS" in chunks and color in (GRAY, RGB):
        samples = _key_out(samples, chunks[b"tRNS"], bits)
    exif = chunks.get(b"eXIf")
    orientation = exif_orientation(b"Exif\0\0" + exif) if exif else 1
    return Raster(samples, orientation, _profile(chunks.get(b"iCCP")))


def read_size(file: BinaryIO, size: int, max_pixels: int) -> tuple[int, int, int]:
    """Width, height and orientation of a PNG file of ``size`` bytes, without decoding.

    Raises:
        ImageError: if the header is invalid, or the file is truncated.
    """
    start = file.read(START)
    check_start(start, size, max_pixels)
    at, name, exif = len(SIGNATURE), b"", b""
    while name != b"IEND":  # (Bytes may follow the last chunk.)
        file.seek(at)
        if at + 12 > size:
            raise ImageError("the file is truncated; copy or download it again")
        length, name = struct.unpack(">I4s", file.read(8))
        at += 12 + length
        if name == b"eXIf" and not exif:
            exif = file.read(length)
    if at > size:
        raise ImageError("the file is truncated; copy or download it again")
    width, height = struct.unpack(">II", start[16:24])
    return width, height, exif_orientation(b"Exif\0\0" + exif) if exif else 1


def check_start(start: bytes, size: int, max_pixels: int) -> None:
    """Check the header.

    Raises:
        ImageError: if the header is damaged, the image is larger than ``max_pixels``, or the file
            is too small to contain it.
    """
    if start[12:16] != b"IHDR" or len(start) < START:
        raise ImageError("its PNG header is truncated; copy or download the file again")
    if zlib.crc32(start[12:29]) != int.from_bytes(start[29:33], "big"):
        raise ImageError("its IHDR chunk is damaged; copy or download it again")
    width, height, bits, color = struct.unpack(">IIBB", start[16:26])
    check_size(width, height, max_pixels)
    if color not in CHANNELS or bits not in (1, 2, 4, 8, 16):
        raise ImageError(
            f"its header claims color type {color} and {bits} bits, which PNG does not define; "
            "copy or download it again"
        )
    check_held(_unpacked(start), size, EXPANSION)


def encode(samples: np.ndarray, icc: bytes | None) -> bytes:
    """Encode uint8 or uint16 samples ``(H, W, 1 to 4)`` as a PNG file."""
    from kornia_rs.image import Image

    bits = 8 * samples.itemsize
    color = COLORS[samples.shape[2]]
    if color == GRAY_ALPHA:
        kind = ">u2" if bits == 8 else np.uint8
        raw = samples.astype(">u2") if bits == 16 else np.ascontiguousarray(samples)
        samples = raw.view(kind).astype(np.uint16 if bits == 8 else np.uint8)
    data = bytes(Image.fromarray(np.ascontiguousarray(samples)).encode("png"))
    if color == GRAY_ALPHA:
        data = _renamed(data, color, bits)
    if icc:
        data = data[:33] + _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)) + data[33:]
    return data


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, int]]:
    """The name, body and checksum of each chunk; ImageError if the file is truncated."""
    view, at, name = memoryview(data), len(SIGNATURE), b""
    while name != b"IEND":
        size = int.from_bytes(view[at : at + 4], "big")
        name = bytes(view[at + 4 : at + 8])
        if at + 12 + size > len(data):
            raise ImageError("the file is truncated; copy or download it again")
        end = at + 8 + size
        yield name, view[at + 8 : end], int.from_bytes(view[end : end + 4], "big")
        at = end + 4


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _renamed(data: bytes, color: int, bits: int) -> bytes:
    """The same PNG file with another color type and bit depth in its header."""
    header = data[16:24] + bytes((bits, color)) + data[26:29]
    return SIGNATURE + _chunk(b"IHDR", header) + data[33:]


def _decode_bytes(data: bytes, height: int, width: int, bits: int, color: int) -> np.ndarray:
    """Samples of 8 or 16 bits, by kornia-rs, which verifies all checksums."""
    from kornia_rs import io as codec

    stored = bits
    if color == GRAY_ALPHA:
        color, stored = STAND_IN[bits]
        data = _renamed(data, color, stored)
    read: Any = codec.decode_image_png_u8 if stored == 8 else codec.decode_image_png_u16
    mode = {GRAY: "mono", RGB: "rgb", RGBA: "rgba"}[color]
    samples = read(data, (height, width), mode)
    if stored < bits:
        return samples.view(">u2").astype(np.uint16)
    return samples.astype(">u2").view(np.uint8) if stored > bits else samples


def _decode_narrow(data: bytes) -> np.ndarray:
    """Palettes and samples of 1, 2 and 4 bits, by Pillow."""
    from PIL.PngImagePlugin import PngImageFile

    _check_whole(data)
    picture = PngImageFile(io.BytesIO(data))
    picture.load()
    return from_pillow(picture)


def _check_whole(data: bytes) -> None:
    """Raise ImageError for missing rows or a wrong checksum, which Pillow ignores."""
    inflate, wanted, have = zlib.decompressobj(), _unpacked(data), 0
    for name, body, checksum in _chunks(data):
        if name in (b"PLTE", b"IDAT") and zlib.crc32(body, zlib.crc32(name)) != checksum:
            raise ImageError(f"its {name.decode()} chunk is damaged; copy or download it again")
        if name == b"IDAT" and have < wanted:
            have += len(inflate.decompress(body, wanted - have))
    if have < wanted:
        raise ImageError("its last rows are missing; copy or download it again")


def _unpacked(start: bytes) -> int:
    """The number of bytes of all rows, including the filter byte of each, from the header."""
    width, height, bits, color, _, _, interlaced = struct.unpack(">IIBBBBB", start[16:29])
    size = 0
    for x, y, dx, dy in PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        if columns > 0 and rows > 0:
            size += rows * (1 + -(-columns * bits * CHANNELS[color] // 8))
    return size


def _key_out(samples: np.ndarray, key: bytes, bits: int) -> np.ndarray:
    """Add an alpha channel: 0 where the color equals the key, otherwise opaque."""
    top = np.iinfo(samples.dtype).max
    scale = top // ((1 << bits) - 1)  # 1, 2 and 4 bits were scaled to 8
    color = np.frombuffer(key, ">u2").astype(np.int64) % (1 << bits) * scale
    alpha = np.any(samples != color, axis=2, keepdims=True) * samples.dtype.type(top)
    return np.concatenate([samples, alpha], axis=2)


def _profile(body: bytes | None) -> bytes | None:
    """The ICC profile of an iCCP chunk: a name, 0, a method, and the compressed profile."""
    if not body:
        return None
    try:
        return zlib.decompressobj().decompress(body[body.index(b"\0") + 2 :], LARGEST_PROFILE)
    except (ValueError, zlib.error):  # The image is used without the broken profile.
        return None
