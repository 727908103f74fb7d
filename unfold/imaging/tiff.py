"""TIFF: Pillow decompresses the samples, and this module interprets them.

Pillow reduces 16-bit RGB to 8 bits; kornia-rs supports neither alpha nor profiles, and misreads
separate planes. But a row of W pixels with C samples each is also a row of C·W gray samples, which
Pillow reads in 8 and 16 bits. Therefore a directory is added to the file that describes its first
image as gray, and the samples that Pillow returns are rearranged.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from unfold.imaging import libtiff
from unfold.imaging.directory import Directory, read_directory
from unfold.imaging.photo import ImageError
from unfold.imaging.raster import (
    ORIENTATION,
    Raster,
    check_held,
    check_size,
    from_pillow,
    known_orientation,
)

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_AT, SAMPLES, ROWS, STRIP_BYTES, PLANAR, PREDICTOR = 273, 277, 278, 279, 284, 317
TILE_WIDTH, TILE_HEIGHT, TILE_AT, TILE_BYTES, EXTRA, FORMAT, ICC = (
    322,
    323,
    324,
    325,
    338,
    339,
    34675,
)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, YCBCR = 0, 1, 2, 6
RAW, LZW, DEFLATE, PACKBITS = 1, 5, 8, 32773
FAX = (2, 3, 4, 32771)
MULTIPLIED, SEPARATE = 1, 2  # the two kinds of alpha
SEPARATE_PLANES = 2
LARGEST = (1 << 32) - (1 << 16)  # bytes of a file with 32-bit offsets, without the directory
# The largest number of bytes that a codec decodes from one. Deflate: 258 from 2 bits. LZW: a string
# of a full table from 12 bits. PackBits: 128 from 2 bytes. LZMA: 273 from 14 decisions of at least
# 0.022 bits. Zstandard: a block of 128 KiB from 4 bytes. JPEG is far below the last; a row of a fax
# takes at least one bit.
EXPANSION = {RAW: 1, LZW: 2731, DEFLATE: 1032, 32946: 1032, PACKBITS: 64, 34925: 8192, 50000: 32768}
ANY_EXPANSION = 65536
MOST_CHANNELS = 64


@dataclass(frozen=True)
class Blocks:
    """The strips or tiles of an image.

    Attributes:
        width, height: size of one in pixels; the last strip may be lower.
        each: number of strips or tiles in a plane. A plane is the image, or one channel if the
            channels are stored separately.
        at, sizes: offset in the file and number of bytes of each, plane after plane.
    """

    width: int
    height: int
    each: int
    at: tuple[int, ...]
    sizes: tuple[int, ...]


def decode(data: bytes, max_pixels: int) -> Raster:
    """Decode the first image of a TIFF file."""
    tags = read_directory(io.BytesIO(data))
    blocks = held_blocks(tags, max_pixels)
    icc = tags.raw(ICC)
    if _is_plain(tags):
        samples = _meaning(_decode_plain(data, tags, blocks), tags)
        return Raster(samples, known_orientation(tags.one(ORIENTATION, 1)), icc)
    if max(tags.many(BITS), default=1) > 8:
        raise ImageError("this kind of TIFF is not supported; convert it to a 16-bit PNG")
    picture = libtiff.load(data)
    # Read after loading, because newer versions of Pillow then have applied the orientation.
    orientation = known_orientation(picture.getexif().get(ORIENTATION))
    return Raster(from_pillow(picture), orientation, icc)


def read_size(file: BinaryIO, size: int, max_pixels: int) -> tuple[int, int, int]:
    """Width, height and orientation of a TIFF file, without decoding.

    Raises:
        ImageError: if the header is invalid, or strips or tiles are missing.
    """
    tags = read_directory(file)
    held_blocks(tags, max_pixels)
    orientation = known_orientation(tags.one(ORIENTATION, 1))
    return tags.one(WIDTH, 0), tags.one(HEIGHT, 0), orientation


def encode(samples: np.ndarray, icc: bytes | None) -> bytes:
    """Encode uint8 or uint16 samples ``(H, W, 1 to 4)``: one strip, compressed by Deflate."""
    height, width, channels = samples.shape
    little = samples.astype(samples.dtype.newbyteorder("<"))
    little[:, 1:] -= little[:, :-1]
    strip = zlib.compress(little.tobytes())
    if len(strip) > LARGEST:
        raise ImageError("it is too large for TIFF; write a .png")
    tags: dict[int, Any] = {
        WIDTH: (width,),
        HEIGHT: (height,),
        BITS: (8 * samples.itemsize,) * channels,
        COMPRESSION: (DEFLATE,),
        PHOTOMETRIC: (RGB if channels >= 3 else BLACK_IS_ZERO,),
        STRIP_AT: (8,),
        SAMPLES: (channels,),
        ROWS: (height,),
        STRIP_BYTES: (len(strip),),
        PREDICTOR: (2,),
    }
    if channels in (2, 4):
        tags[EXTRA] = (SEPARATE,)
    if icc:
        tags[ICC] = icc
    return _with_directory(b"II*\0", strip, tags)


def held_blocks(tags: Directory, max_pixels: int) -> Blocks:
    """The strips or tiles of the first image of a TIFF file.

    Raises:
        ImageError: if the image has more than ``max_pixels`` pixels, or the file is too small to
            contain it.
    """
    width, height = tags.one(WIDTH, 0), tags.one(HEIGHT, 0)
    check_size(width, height, max_pixels)
    channels = tags.one(SAMPLES, 1)
    if not 1 <= channels <= MOST_CHANNELS:
        raise ImageError(f"its header claims {channels} channels; convert it to PNG")
    planes = channels if tags.one(PLANAR, 1) == SEPARATE_PLANES else 1
    blocks = _blocks(tags, width, height, planes)
    _check_places(blocks, tags.size)
    # (Two channels of YCbCr may be subsampled: only the first is counted.)
    together = 1 if planes > 1 or tags.one(PHOTOMETRIC, -1) == YCBCR else channels
    row = -(-blocks.width * max(1, tags.one(BITS, 1)) * together // 8)
    codec = tags.one(COMPRESSION, RAW)
    expansion = 8 * row if codec in FAX else EXPANSION.get(codec, ANY_EXPANSION)
    for index, size in enumerate(blocks.sizes):
        below = blocks.height if TILE_AT in tags else height - index % blocks.each * blocks.height
        check_held(row * min(blocks.height, below), size, expansion)
    return blocks


def _blocks(tags: Directory, width: int, height: int, planes: int) -> Blocks:
    tiled = TILE_AT in tags
    places, lengths = (TILE_AT, TILE_BYTES) if tiled else (STRIP_AT, STRIP_BYTES)
    across = tags.one(TILE_WIDTH, 0) if tiled else width
    down = tags.one(TILE_HEIGHT, 0) if tiled else min(tags.one(ROWS, height), height)
    if across < 1 or down < 1:
        raise ImageError("its strips or tiles have no size; copy or download it again")
    each = -(-width // across) * -(-height // down)
    at = tags.many(places)[: each * planes]
    # (Some old programs do not write the length of a single strip.)
    sizes = tags.many(lengths)[: each * planes] or tuple(tags.size - a for a in at[:1])
    if len(at) < each * planes or len(sizes) < len(at):
        raise ImageError("it lacks strips or tiles; copy or download it again")
    return Blocks(across, down, each, at, sizes)


def _check_places(blocks: Blocks, size: int) -> None:
    """Raise ImageError for strips or tiles beyond the end of the file, or larger than it."""
    ends = [a + n for a, n in zip(blocks.at, blocks.sizes, strict=True)]
    if min(blocks.at) < 0 or min(blocks.sizes) < 0 or max(ends) > size:
        raise ImageError("the file is truncated; copy or download it again")
    if sum(blocks.sizes) > size:
        raise ImageError(
            "its strips or tiles claim more than the file holds; copy or download it again"
        )


def _is_plain(tags: Directory) -> bool:
    """Whether the samples can be read as gray: gray or RGB of 8 or 16 bits, unsigned, with
    lossless compression."""
    bits = set(tags.many(BITS))
    return (
        bits in ({8}, {16})
        and tags.one(PHOTOMETRIC, -1) in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB)
        and tags.one(COMPRESSION, RAW) in EXPANSION
        and tags.one(PREDICTOR, 1) in (1, 2)
        and tags.one(FILL_ORDER, 1) == 1
        and set(tags.many(FORMAT)) <= {1}
    )


def _decode_plain(data: bytes, tags: Directory, blocks: Blocks) -> np.ndarray:
    """The stored samples ``(H, W, C)``; of separate planes only the colors and the next one."""
    channels = tags.one(SAMPLES, 1)
    if tags.one(PLANAR, 1) != SEPARATE_PLANES:
        return _decode_plane(data, tags, blocks, channels, slice(None))
    each = blocks.each
    planes = [slice(c * each, (c + 1) * each) for c in range(min(channels, _colors(tags) + 1))]
    return np.concatenate([_decode_plane(data, tags, blocks, 1, p) for p in planes], axis=2)


def _decode_plane(
    data: bytes, tags: Directory, blocks: Blocks, channels: int, chosen: slice
) -> np.ndarray:
    """The samples ``(H, W, channels)`` of the chosen strips or tiles, read as one gray image."""
    width, height = tags.one(WIDTH, 0), tags.one(HEIGHT, 0)
    tiled = TILE_AT in tags
    places, lengths = (TILE_AT, TILE_BYTES) if tiled else (STRIP_AT, STRIP_BYTES)
    gray: dict[int, Any] = {
        WIDTH: (width * channels,),
        HEIGHT: (height,),
        BITS: tags.many(BITS)[:1],
        COMPRESSION: (tags.one(COMPRESSION, RAW),),
        PHOTOMETRIC: (BLACK_IS_ZERO,),
        SAMPLES: (1,),
        places: blocks.at[chosen],
        lengths: blocks.sizes[chosen],
    }
    if tiled:
        gray |= {TILE_WIDTH: (blocks.width * channels,), TILE_HEIGHT: (blocks.height,)}
    else:
        gray[ROWS] = (blocks.height,)
    magic = data[:2] + (b"*\0" if data[:2] == b"II" else b"\0*")
    picture = libtiff.load(_with_directory(magic, data[8:], gray))
    samples = np.asarray(picture).reshape(height, width, channels)
    samples = samples.astype(samples.dtype.newbyteorder("="))
    if tags.one(PREDICTOR, 1) == 2:  # Differences from the left neighbor are stored.
        for x in range(0, width, blocks.width):
            block = samples[:, x : x + blocks.width]
            block[:] = np.cumsum(block, axis=1, dtype=samples.dtype)
    return samples


def _colors(tags: Directory) -> int:
    return 3 if tags.one(PHOTOMETRIC, -1) == RGB else 1


def _meaning(samples: np.ndarray, tags: Directory) -> np.ndarray:
    """Convert stored samples to gray or RGB, with alpha if the file has it."""
    colors = _colors(tags)
    if samples.shape[2] < colors:
        raise ImageError("it lacks color channels; copy or download it again")
    extra = tags.one(EXTRA, 0)
    top = np.iinfo(samples.dtype).max
    color, alpha = samples[..., :colors], samples[..., colors : colors + 1]
    if tags.one(PHOTOMETRIC, -1) == WHITE_IS_ZERO:
        color = top - color
    if extra not in (MULTIPLIED, SEPARATE) or not alpha.size:
        return color
    if extra == MULTIPLIED:
        divided = color.astype(np.float64) * top / np.maximum(alpha, 1)
        color = divided.round().clip(0, top).astype(samples.dtype)
    return np.concatenate([color, alpha], axis=2)


def _with_directory(magic: bytes, body: bytes, tags: Mapping[int, Any]) -> bytes:
    """A TIFF file of the magic number, the body from byte 8 on, and one directory after it."""
    order = "<" if magic[:2] == b"II" else ">"
    at = 8 + len(body) + len(body) % 2
    entries, values = b"", b""
    values_at = at + 2 + 12 * len(tags) + 4
    for tag, value in sorted(tags.items()):
        if isinstance(value, bytes):
            kind, count, packed = 7, len(value), value
        else:
            kind, letter = (3, "H") if max(value) < 1 << 16 else (4, "I")
            count, packed = len(value), struct.pack(f"{order}{len(value)}{letter}", *value)
        if len(packed) > 4:
            packed, values = struct.pack(f"{order}I", values_at + len(values)), values + packed
            values += b"\0" * (len(values) % 2)
        entries += struct.pack(f"{order}HHI4s", tag, kind, count, packed)
    directory = struct.pack(f"{order}H", len(tags)) + entries + b"\0" * 4 + values
    return magic + struct.pack(f"{order}I", at) + body + b"\0" * (len(body) % 2) + directory
