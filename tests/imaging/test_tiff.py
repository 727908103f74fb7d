"""TIFF files, against Pillow, tifffile and files made by hand."""

from __future__ import annotations

import io
import zlib

import numpy as np
import PIL
import pytest
import tifffile
from packaging.version import Version
from photo_files import (
    RNG,
    TOP,
    astronaut,
    check_reads,
    check_refused,
    noise,
    samples_of,
    tiff_file,
)
from PIL import Image

from unfold.imaging import read, tiff
from unfold.imaging.directory import read_directory


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "packbits", "tiff_adobe_deflate"])
def test_tiff_modes(tmp_path, mode, compression):
    picture = Image.fromarray(astronaut()[:31, :45]).convert(mode)
    picture.save(tmp_path / "a.tif", compression=compression)
    kind = {"1": "L", "P": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}.get(mode, mode)
    if mode == "YCbCr" and Version(PIL.__version__) < Version("13"):
        pytest.skip("Pillow before 13 does not read what it writes here")
    with Image.open(tmp_path / "a.tif") as again:
        expected = np.asarray(again.convert(kind))
    check_reads(tmp_path / "a.tif", expected.reshape(*expected.shape[:2], -1))


def test_jpeg_inside_tiff(tmp_path):
    Image.fromarray(astronaut()).save(tmp_path / "a.tif", compression="jpeg", quality=95)
    photo = read(tmp_path / "a.tif")
    assert np.abs(photo.image.permute(1, 2, 0).numpy() * 255 - astronaut()).mean() < 3


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"byteorder": ">"},
        {"compression": "zlib", "rowsperstrip": 5},
        {"compression": "zlib", "rowsperstrip": 5, "byteorder": ">"},
        {"tile": (16, 32)},
        {"tile": (16, 32), "compression": "zlib"},
        {"bigtiff": True},
    ],
    ids=str,
)
def test_tiff_layouts(tmp_path, channels, bits, planar, options):
    samples = noise(23, 49, channels, bits)
    tiff_file(tmp_path / "a.tif", samples, planar, **options)
    check_reads(tmp_path / "a.tif", samples)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("block", [3, 4, 7])
def test_tiff_predictor_starts_anew_in_every_tile(order, block):
    samples = noise(16, 32, 3, 16)
    stored = samples.copy()
    stored[:, 1:] -= samples[:, :-1]
    stored[:, 16] = samples[:, 16]
    tiles = [stored[:, x : x + 16].astype(f"{order}u2").tobytes() for x in (0, 16)]
    zipped = [zlib.compress(t) for t in tiles]
    tags = {256: (32,), 257: (16,), 258: (16,) * 3, 259: (8,), 262: (2,), 277: (3,), 317: (2,)}
    tags |= {322: (16,), 323: (16,), 324: (8, 8 + len(zipped[0]))}
    tags[325] = tuple(map(len, zipped))
    magic = b"II*\0" if order == "<" else b"MM\0*"
    file = tiff._with_directory(magic, b"".join(zipped), tags)
    np.testing.assert_array_equal(tifffile.imread(io.BytesIO(file)), samples)
    np.testing.assert_array_equal(tiff.decode(file, 10**6).samples, samples)


@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tiff_lzw(tmp_path, channels, predictor):
    """Pillow writes no 16-bit RGB; but as gray of more columns, it does."""
    samples = noise(9, 8, channels, 16)
    stored = samples.copy()
    if predictor == 2:
        stored[:, 1:] -= samples[:, :-1]
    gray = io.BytesIO()
    Image.fromarray(stored.reshape(9, -1)).save(gray, "TIFF", compression="tiff_lzw")
    stored = read_directory(gray)
    tags = {tag: stored.many(tag) for tag in (256, 257, 259, 273, 278, 279)}
    tags |= {256: (8,), 258: (16,) * channels, 262: (2 if channels > 1 else 1,)}
    tags |= {277: (channels,), 317: (predictor,)}
    if channels == 4:
        tags[338] = (2,)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff._with_directory(b"II*\0", gray.getvalue()[8:], tags))
    check_reads(path, samples)


@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_white_is_zero(tmp_path, bits):
    samples = noise(5, 7, 1, bits)
    tiff_file(tmp_path / "a.tif", samples, photometric="miniswhite")
    check_reads(tmp_path / "a.tif", samples.dtype.type(TOP[bits]) - samples)


@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_alpha_multiplied_in_is_divided_out(tmp_path, bits):
    color = noise(9, 9, 3, bits).astype(np.float64)
    alpha = RNG.integers(TOP[bits] // 2, TOP[bits], (9, 9, 1)).astype(np.float64)
    stored = np.concatenate([np.round(color * alpha / TOP[bits]), alpha], axis=2)
    stored[0, 0] = 0
    tiff_file(tmp_path / "a.tif", stored.astype(f"uint{bits}"), extrasamples=["assocalpha"])
    with np.errstate(all="raise"):
        seen = samples_of(read(tmp_path / "a.tif")).astype(np.float64)
    assert np.abs(seen[..., :3] - color)[1:].max() <= 2
    assert not seen[0, 0].any()


def test_tiff_channels_that_are_no_alpha_are_dropped(tmp_path):
    samples = noise(5, 7, 5, 16)
    tiff_file(tmp_path / "a.tif", samples, extrasamples=["unspecified"] * 2)
    check_reads(tmp_path / "a.tif", samples[..., :3])


def test_tiff_first_page_is_read(tmp_path):
    pages = [noise(5, 7, 3), noise(3, 4, 3)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in pages:
            file.write(page, photometric="rgb")
    check_reads(tmp_path / "a.tif", pages[0])


@pytest.mark.parametrize(
    "samples", [np.ones((4, 5), np.float32), np.ones((4, 5), np.int16), np.ones((4, 5), np.uint32)]
)
def test_tiff_of_other_numbers_is_refused(tmp_path, samples):
    tifffile.imwrite(tmp_path / "a.tif", samples)
    check_refused(tmp_path / "a.tif", "16-bit PNG")


def test_16_bit_cmyk_tiff_is_refused_not_cut_down(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise(4, 5, 4, 16), photometric="separated")
    check_refused(tmp_path / "a.tif", "16-bit PNG")


def test_lab_tiff_is_refused(tmp_path):
    Image.new("LAB", (5, 4)).save(tmp_path / "a.tif")
    check_refused(tmp_path / "a.tif", "LAB")


@pytest.mark.parametrize("layout", [{}, {"planar": "separate"}, {"tile": (16, 16)}])
def test_truncated_tiff_says_so(tmp_path, layout):
    path = tmp_path / "a.tif"
    tiff_file(path, noise(40, 40, 3, 16), **layout)
    path.write_bytes(path.read_bytes()[:-100])
    check_refused(path, "truncated")
