"""TIFF: tifffile and imagecodecs for the samples; what they claim is checked first, and what they
mean is settled here.

(Pillow cuts 16-bit RGB down to 8 bits, and kornia-rs knows no alpha and no profile.)
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from unfold.imaging.directory import Directory, read_directory
from unfold.imaging.photo import ImageError
from unfold.imaging.raster import (
    ORIENTATION,
    Raster,
    check_held,
    check_size,
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
COLOR_MAP = 320
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
MODES = {CMYK: (4, "CMYK"), YCBCR: (3, "YCbCr")}  # channels, and the name for Pillow
COLOURS = {CMYK: "CMYK", YCBCR: "YCbCr", 8: "LAB"}
RAW, LZW, JPEG, DEFLATE, PACKBITS = 1, 5, 7, 8, 32773
FAX = (2, 3, 4, 32771)
MULTIPLIED, SEPARATE = 1, 2  # the two sorts of alpha
SEPARATE_PLANES = 2
# Of how many bytes a codec can make one. Deflate: 258 of 2 bits. LZW: a string of a full table of
# 12 bits. PackBits: 128 of 2. LZMA: 273 of 14 decisions, each of 0.022 bits or more. Zstandard: a
# block of 128 KiB of 4. Of the others JPEG stays far below the last; a fax's row takes a bit.
EXPANSION = {RAW: 1, LZW: 2731, DEFLATE: 1032, 32946: 1032, PACKBITS: 64, 34925: 8192, 50000: 32768}
ANY_EXPANSION = 65536
MOST_CHANNELS = 64


@dataclass(frozen=True)
class Blocks:
    """The strips or tiles of a picture.

    Attributes:
        width, height: of one, in pixels; the last strip may be lower.
        each: how many make up one plane: the picture, or one channel where these lie apart.
        at, sizes: where they lie in the file, and their bytes there, plane after plane.
    """

    width: int
    height: int
    each: int
    at: tuple[int, ...]
    sizes: tuple[int, ...]


def decode(data: bytes, max_pixels: int) -> Raster:
    """The first picture in a TIFF file's bytes."""
    tags = read_directory(io.BytesIO(data))
    held_blocks(tags, max_pixels)
    samples = _stored(data, tags)
    plain = tags.one(PHOTOMETRIC, -1) in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB)
    samples = _meaning(samples, tags) if plain else _in_rgb(samples, tags)
    return Raster(samples, known_orientation(tags.one(ORIENTATION, 1)), tags.raw(ICC))


def read_size(file: BinaryIO, size: int, max_pixels: int) -> tuple[int, int, int]:
    """Width, height and orientation in the header of a file; raises ImageError also where its
    strips or tiles are not all there."""
    tags = read_directory(file)
    held_blocks(tags, max_pixels)
    orientation = known_orientation(tags.one(ORIENTATION, 1))
    return tags.one(WIDTH, 0), tags.one(HEIGHT, 0), orientation


def encode(samples: np.ndarray, icc: bytes | None) -> bytes:
    """A TIFF file of (H, W, 1 to 4) uint8 or uint16 samples, zipped in one strip."""
    import tifffile

    height, _, channels = samples.shape
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        samples if channels > 1 else samples[..., 0],
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels in (2, 4) else None,
        compression="zlib",
        predictor=True,
        rowsperstrip=height,
        iccprofile=icc,
        metadata=None,
    )
    return file.getvalue()


def held_blocks(tags: Directory, max_pixels: int) -> Blocks:
    """The strips or tiles of a TIFF file's first picture.

    Raises:
        ImageError: the picture has more than ``max_pixels`` pixels, or more than the file's bytes
            can make: as many as there are where they are uncompressed, else what a codec can.
    """
    width, height = tags.one(WIDTH, 0), tags.one(HEIGHT, 0)
    check_size(width, height, max_pixels)
    channels = tags.one(SAMPLES, 1)
    if not 1 <= channels <= MOST_CHANNELS:
        raise ImageError(f"its header claims {channels} channels; save it anew as PNG")
    planes = channels if tags.one(PLANAR, 1) == SEPARATE_PLANES else 1
    blocks = _blocks(tags, width, height, planes)
    _check_places(blocks, tags.size)
    # (YCbCr may share two of its channels among many pixels: only the first is counted.)
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
        raise ImageError("its strips or tiles have no size; get the file again")
    each = -(-width // across) * -(-height // down)
    at = tags.many(places)[: each * planes]
    # (Some old programs do not write the length of a lone strip.)
    sizes = tags.many(lengths)[: each * planes] or tuple(tags.size - a for a in at[:1])
    if len(at) < each * planes or len(sizes) < len(at):
        raise ImageError("it lacks strips or tiles; get the file again")
    return Blocks(across, down, each, at, sizes)


def _check_places(blocks: Blocks, size: int) -> None:
    """Raise ImageError for strips or tiles that are not in the file, or are there over and over."""
    ends = [a + n for a, n in zip(blocks.at, blocks.sizes, strict=True)]
    if min(blocks.at) < 0 or min(blocks.sizes) < 0 or max(ends) > size:
        raise ImageError("the file is cut short; get it again")
    if sum(blocks.sizes) > size:
        raise ImageError("its strips or tiles claim more than the file holds; get it again")


def _stored(data: bytes, tags: Directory) -> np.ndarray:
    """The (H, W, channels) samples as they are stored, of 8 or 16 bits."""
    import tifffile

    # (Else what it tells of damage goes to the standard error stream.)
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    bits = tags.one(BITS, 1)
    if {*tags.many(BITS)} - {bits} or {*tags.many(FORMAT)} - {1} or bits not in (1, 2, 4, 8, 16):
        raise ImageError("its kind of TIFF is beyond this reader; convert it to a 16-bit PNG")
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        planes = file.pages.first.asarray(squeeze=False)  # (planes, depth, H, W, samples)
    samples = planes[:, 0].transpose(1, 2, 0, 3).reshape(*planes.shape[2:4], -1)
    if samples.shape != (tags.one(HEIGHT, 0), tags.one(WIDTH, 0), tags.one(SAMPLES, 1)):
        raise ImageError("it lacks strips or tiles; get the file again")
    if bits < 8 and tags.one(PHOTOMETRIC, -1) != PALETTE:
        return samples.astype(np.uint8) * np.uint8(255 // ((1 << bits) - 1))
    return samples.astype(np.uint16 if bits == 16 else np.uint8)


def _in_rgb(samples: np.ndarray, tags: Directory) -> np.ndarray:
    """RGB of 8 bits from the other kinds of color."""
    from PIL import Image

    photometric = tags.one(PHOTOMETRIC, -1)
    if photometric == PALETTE:
        colours = np.array(tags.many(COLOR_MAP), np.uint16)
        if samples.dtype != np.uint8 or len(colours) != 3 << tags.one(BITS, 1):
            raise ImageError("its palette lacks colors; get the file again")
        return (colours >> 8).astype(np.uint8).reshape(3, -1).T[samples[..., 0]]
    channels, mode = MODES.get(photometric, (0, ""))
    if samples.dtype != np.uint8 or not 0 < channels <= samples.shape[2]:
        raise ImageError(
            f"its kind of TIFF ({COLOURS.get(photometric, photometric)}) is beyond this reader; "
            "convert it to a 16-bit PNG"
        )
    samples = np.ascontiguousarray(samples[..., :channels])
    if mode == "YCbCr" and tags.one(COMPRESSION, RAW) == JPEG:  # (which its decoder has undone)
        return samples
    return np.asarray(Image.fromarray(samples, mode).convert("RGB"))


def _colours(tags: Directory) -> int:
    return 3 if tags.one(PHOTOMETRIC, -1) == RGB else 1


def _meaning(samples: np.ndarray, tags: Directory) -> np.ndarray:
    """Grey or RGB, and alpha where the file has it, from the samples as they are stored."""
    colours = _colours(tags)
    if samples.shape[2] < colours:
        raise ImageError("it lacks colour channels; get the file again")
    extra = tags.one(EXTRA, 0)
    top = np.iinfo(samples.dtype).max
    colour, alpha = samples[..., :colours], samples[..., colours : colours + 1]
    if tags.one(PHOTOMETRIC, -1) == WHITE_IS_ZERO:
        colour = top - colour
    if extra not in (MULTIPLIED, SEPARATE) or not alpha.size:
        return colour
    if extra == MULTIPLIED:
        divided = colour.astype(np.float64) * top / np.maximum(alpha, 1)
        colour = divided.round().clip(0, top).astype(samples.dtype)
    return np.concatenate([colour, alpha], axis=2)
