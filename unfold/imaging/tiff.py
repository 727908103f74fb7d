"""TIFF: a directory of its own around Pillow's decompression, since neither library suffices.

Pillow cuts 16-bit RGB down to 8 bits, and kornia-rs knows no alpha, no profile, and misreads
planes stored apart. But whatever the samples mean, a row of W pixels with C samples each is a row
of C W grey samples, and those Pillow reads in 8 and 16 bits. So the file's first picture gets a
second directory that calls it grey, and what Pillow returns is put in order here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from unfold.imaging import libtiff
from unfold.imaging.photo import ImageError
from unfold.imaging.raster import (
    ORIENTATION,
    Raster,
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
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
DEFLATE = 8
LOSSLESS = (1, 5, DEFLATE, 32773, 32946, 34925, 50000)  # none, LZW, Deflate, PackBits, LZMA, Zstd
MULTIPLIED, SEPARATE = 1, 2  # the two sorts of alpha
LARGEST = (1 << 32) - (1 << 16)  # bytes in a file with 32-bit offsets, less the directory's

Tags = Mapping[int, Any]


def decode(data: bytes, max_pixels: int) -> Raster:
    """The first picture in a TIFF file's bytes."""
    tags = _first_directory(data)
    check_size(_one(tags, WIDTH, 0), _one(tags, HEIGHT, 0), max_pixels)
    icc = tags.get(ICC)
    if _is_plain(tags):
        samples = _meaning(_decode_plain(data, tags), tags)
        return Raster(samples, known_orientation(_one(tags, ORIENTATION, 1)), icc)
    if max(_many(tags, BITS), default=1) > 8:
        raise ImageError("its kind of TIFF is beyond this reader; convert it to a 16-bit PNG")
    picture = libtiff.load(data)
    # Asked after loading, because newer versions of Pillow turn the picture upright by then.
    orientation = known_orientation(picture.getexif().get(ORIENTATION))
    return Raster(from_pillow(picture), orientation, icc)


def encode(samples: np.ndarray, icc: bytes | None) -> bytes:
    """A TIFF file of (H, W, 1 to 4) uint8 or uint16 samples, zipped in one strip."""
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


def _first_directory(data: bytes) -> Tags:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    directory = ImageFileDirectory_v2(data[: 16 if data[2:3] == b"+" else 8])
    stream = io.BytesIO(data)
    stream.seek(directory.next)
    directory.load(stream)
    return dict(directory)


def _one(tags: Tags, tag: int, default: int) -> int:
    value = tags.get(tag, default)
    return value[0] if isinstance(value, tuple) else value


def _many(tags: Tags, tag: int) -> tuple[int, ...]:
    value = tags.get(tag, ())
    return value if isinstance(value, tuple) else (value,)


def _is_plain(tags: Tags) -> bool:
    """Whether the samples are grey or RGB in whole bytes, as unsigned integers, compressed
    without loss: what can be read as grey.
    """
    bits = set(_many(tags, BITS))
    return (
        bits in ({8}, {16})
        and _one(tags, PHOTOMETRIC, -1) in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB)
        and _one(tags, COMPRESSION, 1) in LOSSLESS
        and _one(tags, PREDICTOR, 1) in (1, 2)
        and _one(tags, FILL_ORDER, 1) == 1
        and set(_many(tags, FORMAT)) <= {1}
    )


def _decode_plain(data: bytes, tags: Tags) -> np.ndarray:
    """All samples, (H, W, C), as they are stored."""
    channels = _one(tags, SAMPLES, 1)
    if _one(tags, PLANAR, 1) == 1:
        samples = _decode_plane(data, tags, channels, slice(None))
    else:
        each = len(_many(tags, TILE_AT) or _many(tags, STRIP_AT)) // channels
        planes = [slice(c * each, (c + 1) * each) for c in range(channels)]
        samples = np.concatenate([_decode_plane(data, tags, 1, p) for p in planes], axis=2)
    return samples


def _decode_plane(data: bytes, tags: Tags, channels: int, strips: slice) -> np.ndarray:
    """The (H, W, channels) samples in some of the strips or tiles, read as one grey picture."""
    width, height = _one(tags, WIDTH, 0), _one(tags, HEIGHT, 0)
    tiled = TILE_AT in tags
    places, sizes = (TILE_AT, TILE_BYTES) if tiled else (STRIP_AT, STRIP_BYTES)
    at, size = _many(tags, places)[strips], _many(tags, sizes)[strips]
    if not at or any(a + n > len(data) for a, n in zip(at, size, strict=True)):
        raise ImageError("the file is cut short; get it again")
    block = _one(tags, TILE_WIDTH, 0) if tiled else width
    grey: dict[int, Any] = {
        WIDTH: (width * channels,),
        HEIGHT: (height,),
        BITS: _many(tags, BITS)[:1],
        COMPRESSION: (_one(tags, COMPRESSION, 1),),
        PHOTOMETRIC: (BLACK_IS_ZERO,),
        SAMPLES: (1,),
        places: at,
        sizes: size,
    }
    if tiled:
        grey |= {TILE_WIDTH: (block * channels,), TILE_HEIGHT: (_one(tags, TILE_HEIGHT, 0),)}
    else:
        grey[ROWS] = (min(_one(tags, ROWS, height), height),)
    magic = data[:2] + (b"*\0" if data[:2] == b"II" else b"\0*")
    picture = libtiff.load(_with_directory(magic, data[8:], grey))
    samples = np.asarray(picture).reshape(height, width, channels)
    samples = samples.astype(samples.dtype.newbyteorder("="))
    if _one(tags, PREDICTOR, 1) == 2:  # each sample is stored less its left neighbour
        for x in range(0, width, block):
            part = samples[:, x : x + block]
            part[:] = np.cumsum(part, axis=1, dtype=samples.dtype)
    return samples


def _meaning(samples: np.ndarray, tags: Tags) -> np.ndarray:
    """Grey or RGB, and alpha where the file has it, from the samples as they are stored."""
    colours = 3 if _one(tags, PHOTOMETRIC, -1) == RGB else 1
    if samples.shape[2] < colours:
        raise ImageError("it lacks colour channels; get the file again")
    extra = (*_many(tags, EXTRA), 0)[0]
    top = np.iinfo(samples.dtype).max
    colour, alpha = samples[..., :colours], samples[..., colours : colours + 1]
    if _one(tags, PHOTOMETRIC, -1) == WHITE_IS_ZERO:
        colour = top - colour
    if extra not in (MULTIPLIED, SEPARATE) or not alpha.size:
        return colour
    if extra == MULTIPLIED:
        divided = colour.astype(np.float64) * top / np.maximum(alpha, 1)
        colour = divided.round().clip(0, top).astype(samples.dtype)
    return np.concatenate([colour, alpha], axis=2)


def _with_directory(magic: bytes, body: bytes, tags: Tags) -> bytes:
    """A TIFF file: the magic number, the body from byte 8 on, and behind it one directory."""
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
