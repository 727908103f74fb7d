"""Files of photos: made by hand, and what is demanded of them when they are read."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms
from skimage import data

from unfold.imaging import ImageError, Photo, read, tiff

RNG = np.random.default_rng(0)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
TOP = {8: 255, 16: 65535}


def noise(height, width, channels, bits=8):
    return RNG.integers(0, TOP[bits] + 1, (height, width, channels)).astype(f"uint{bits}")


def photo_of(samples, icc=None):
    """A photograph of (H, W, C) samples."""
    bits = 8 * samples.itemsize
    planes = torch.from_numpy(samples.astype(np.float32) / TOP[bits]).permute(2, 0, 1)
    colors = 1 if samples.shape[2] < 3 else 3
    image, alpha = planes[:colors], planes[colors:]
    return Photo(
        image=image.expand(3, -1, -1).contiguous(),
        alpha=alpha.contiguous() if len(alpha) else None,
        gray=colors == 1,
        bits=bits,
        icc=icc,
    )


def samples_of(photo):
    """The (H, W, C) samples of a photograph."""
    planes = [photo.image[:1] if photo.gray else photo.image]
    planes += [] if photo.alpha is None else [photo.alpha]
    values = (torch.cat(planes).permute(1, 2, 0).double() * TOP[photo.bits]).round()
    return values.numpy().astype(f"uint{photo.bits}")


def check_contract(photo):
    shape = photo.image.shape
    assert shape[0] == 3
    assert photo.image.dtype == torch.float32
    assert photo.image.is_contiguous()
    assert photo.image.min() >= 0
    assert photo.image.max() <= 1
    if photo.alpha is not None:
        assert photo.alpha.shape == (1, *shape[1:])
        assert photo.alpha.dtype == torch.float32
    if photo.gray:
        assert torch.equal(photo.image[0], photo.image[1])


def check_reads(path, expected):
    """The file reads as these (H, W, C) samples, exactly."""
    photo = read(path)
    check_contract(photo)
    assert photo.bits == 8 * expected.itemsize
    assert photo.gray == (expected.shape[2] < 3)
    np.testing.assert_array_equal(samples_of(photo), expected)
    return photo


def check_refused(path, *fragments, **options):
    with pytest.raises(ImageError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    assert ";" in message  # behind it stands the remedy
    for fragment in fragments:
        assert fragment in message
    return message


def png_bytes(samples, bits, color, interlace=0, extra=b""):
    """A PNG file, encoded independently of the library; rows of (H, row bytes) uint8."""
    height, width, rows = samples
    return png_file(width, height, bits, color, b"".join(b"\0" + r for r in rows), interlace, extra)


def png_file(width, height, bits, color, body, interlace=0, extra=b""):
    """A PNG file of a header and a body, which need not fit."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlace)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(body))
        + chunk(b"IEND", b"")
    )


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def astronaut():
    return data.astronaut()


def tiff_file(path, samples, planar="contig", **options):
    channels = samples.shape[2]
    if channels == 1:
        samples = samples[..., 0]
    elif planar == "separate":
        samples = np.ascontiguousarray(samples.transpose(2, 0, 1))
    options.setdefault("photometric", "minisblack" if channels < 3 else "rgb")
    if channels > 1:
        options["planarconfig"] = planar
    if channels in (2, 4):
        options.setdefault("extrasamples", ["unassalpha"])
    tifffile.imwrite(path, samples, **options)


def encoded(kind, mode="RGB", **options):
    buffer = io.BytesIO()
    Image.fromarray(astronaut()[:200, :300]).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


WHOLE = {
    "rgb.png": encoded("PNG"),
    "palette.png": encoded("PNG", "P"),
    "bilevel.png": encoded("PNG", "1"),
    "gray-alpha.png": encoded("PNG", "LA"),
    "rgb.jpg": encoded("JPEG"),
    "progressive.jpg": encoded("JPEG", progressive=True),
    "gray.jpg": encoded("JPEG", "L"),
    "cmyk.jpg": encoded("JPEG", "CMYK"),
    "rgb.tif": encoded("TIFF"),
    "lzw.tif": encoded("TIFF", compression="tiff_lzw"),
    "bilevel.tif": encoded("TIFF", "1", compression="group4"),
    "palette.tif": encoded("TIFF", "P"),
    "deflate.tif": tiff.encode(noise(64, 64, 4, 16), None),
}


def flat(value=0.5, channels=3, size=(4, 5), dtype=torch.float32):
    return torch.full((channels, *size), value, dtype=dtype)
