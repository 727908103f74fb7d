"""JPEG: kornia-rs decodes RGB and gray; Pillow reads headers and CMYK, and writes gray or ICC."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from unfold.imaging.photo import ImageError
from unfold.imaging.raster import Raster, check_held, check_size, exif_orientation, from_pillow

if TYPE_CHECKING:
    from PIL.JpegImagePlugin import JpegImageFile

QUALITY = 95
LONGEST = 65500  # libjpeg's limit on a side
# Largest number of samples per byte. A block of 64 samples takes at least one bit; the bound is
# twice that, because a block of subsampled colors covers more pixels.
EXPANSION = 1024
MOST_SCANS = 100  # Each scan covers the whole image; libtiff has the same limit.
# Within a scan, 0xff is followed by 0 or a restart marker; any other byte makes it a marker.
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
SCAN, END = 0xDA, 0xD9
END_OF_IMAGE = bytes((0xFF, END))


def decode(data: bytes, max_pixels: int) -> Raster:
    """Decode a JPEG file. CMYK is converted to RGB, and its profile is dropped."""
    from kornia_rs import io as codec

    header = _open(io.BytesIO(data), len(data), max_pixels)
    _check_scans(data)
    if header.mode in ("L", "RGB"):
        # kornia-rs rejects damaged files, whose missing parts Pillow fills with gray.
        samples = codec.decode_image_jpegturbo(data, "mono" if header.mode == "L" else "rgb")
    else:
        samples = from_pillow(header)
    orientation = exif_orientation(header.info.get("exif"))
    return Raster(samples, orientation, header.info.get("icc_profile"))


def read_size(file: BinaryIO, size: int, max_pixels: int) -> tuple[int, int, int]:
    """Width, height and orientation of a JPEG file of ``size`` bytes, without decoding.

    Raises:
        ImageError: if the header is invalid, or the file is truncated.
    """
    header = _open(file, size, max_pixels)
    scan = file.tell()  # A thumbnail before it may contain an end marker.
    file.seek(max(0, size - len(END_OF_IMAGE)))
    if file.read() != END_OF_IMAGE:
        file.seek(scan)
        if END_OF_IMAGE not in file.read():
            raise ImageError("the file is truncated; copy or download it again")
    return *header.size, exif_orientation(header.info.get("exif"))


def _open(file: BinaryIO, size: int, max_pixels: int) -> JpegImageFile:
    from PIL.JpegImagePlugin import JpegImageFile

    # (Image.open would apply Pillow's own limit of pixels.)
    header = JpegImageFile(file)
    check_size(*header.size, max_pixels)
    check_held(header.width * header.height, size, EXPANSION)
    return header


def encode(samples: np.ndarray, icc: bytes | None) -> bytes:
    """Encode uint8 samples ``(H, W, 1 or 3)``: quality 95, no chroma subsampling."""
    from kornia_rs import io as codec
    from PIL import Image

    height, width, channels = samples.shape
    if max(height, width) > LONGEST:
        raise ImageError(f"JPEG cannot hold {width} x {height} pixels; write a .png")
    if channels == 3 and not icc:
        return bytes(codec.encode_image_jpegturbo(samples, QUALITY, "4:4:4"))
    buffer = io.BytesIO()
    picture = Image.fromarray(samples[..., 0] if channels == 1 else samples)
    picture.save(buffer, "JPEG", quality=QUALITY, subsampling=0, icc_profile=icc)
    return buffer.getvalue()


def _check_scans(data: bytes) -> None:
    """Raise ImageError for more scans than `MOST_SCANS`, which no encoder writes."""
    at, scans = 2, 0
    while (marker := MARKER.search(data, at)) and data[marker.start() + 1] != END:
        scans += data[marker.start() + 1] == SCAN
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        at = marker.end() + max(2, length)  # (A segment, such as a thumbnail, is skipped.)
    if scans > MOST_SCANS:
        raise ImageError(
            f"it has {scans} scans, above the limit of {MOST_SCANS}; convert it to PNG"
        )
