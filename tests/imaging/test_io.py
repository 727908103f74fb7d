"""Reading and writing photographs, against Pillow, tifffile, and files made wrong on purpose."""

from __future__ import annotations

import io
import os
import resource
import signal
import struct
import warnings
import zlib

import numpy as np
import PIL
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version
from PIL import Image, ImageCms, ImageFile
from skimage import data
from tiny_training import apart

from unfold.imaging import ImageError, Photo, find_photos, jpeg, read, tiff, write
from unfold.imaging.directory import read_directory

RNG = np.random.default_rng(0)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GRAY_PROFILE = SRGB[:16] + b"GRAY" + SRGB[20:]
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
    body = b"".join(b"\0" + row for row in rows)
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


# --- Round trips -------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".PNG"])
def test_lossless_round_trip(tmp_path, suffix, bits, channels):
    samples = noise(13, 9, channels, bits)
    path = tmp_path / f"a{suffix}"
    write(path, photo_of(samples))
    check_reads(path, samples)


@settings(deadline=None, max_examples=80)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    channels=st.integers(1, 4),
    bits=st.sampled_from([8, 16]),
    suffix=st.sampled_from([".png", ".tif"]),
)
def test_lossless_round_trip_of_any_size(tmp_path_factory, height, width, channels, bits, suffix):
    samples = noise(height, width, channels, bits)
    path = tmp_path_factory.mktemp("any") / f"a{suffix}"
    write(path, photo_of(samples))
    check_reads(path, samples)


def test_all_16_bit_values_survive(tmp_path):
    samples = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    for name in ("a.png", "a.tif"):
        write(tmp_path / name, photo_of(samples))
        check_reads(tmp_path / name, samples)


@settings(deadline=None, max_examples=20)
@given(height=st.integers(1, 40), width=st.integers(1, 40), gray=st.booleans())
def test_jpeg_round_trip_of_any_size(tmp_path_factory, height, width, gray):
    flat = np.full((height, width, 1 if gray else 3), 100, np.uint8)
    path = tmp_path_factory.mktemp("any") / "a.jpg"
    write(path, photo_of(flat))
    photo = read(path)
    check_contract(photo)
    assert photo.gray == gray
    assert np.abs(samples_of(photo).astype(int) - 100).max() <= 2


@pytest.mark.parametrize("icc", [None, SRGB])
@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg_is_close_and_keeps_full_chroma(tmp_path, suffix, icc):
    path = tmp_path / f"a{suffix}"
    before = photo_of(astronaut(), icc)
    write(path, before)
    after = read(path)
    assert 10 * torch.log10(1 / (after.image - before.image).square().mean()) > 38
    with Image.open(path) as picture:
        assert [layer[1:3] for layer in picture.layer] == [(1, 1)] * 3  # 4:4:4


def test_gray_jpeg_is_close_and_has_one_channel(tmp_path):
    before = photo_of(data.camera()[..., None])
    write(tmp_path / "a.jpg", before)
    after = read(tmp_path / "a.jpg")
    assert after.gray
    assert 10 * torch.log10(1 / (after.image - before.image).square().mean()) > 36
    assert Image.open(tmp_path / "a.jpg").mode == "L"


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_others_read_what_we_write(tmp_path, channels):
    for bits in (8, 16):
        samples = noise(11, 7, channels, bits)
        write(tmp_path / "a.tif", photo_of(samples))
        seen = tifffile.imread(tmp_path / "a.tif")
        np.testing.assert_array_equal(seen.reshape(samples.shape), samples)
    samples = noise(11, 7, channels)
    for name in ("a.png", "a.tif"):
        write(tmp_path / name, photo_of(samples))
        seen = np.asarray(Image.open(tmp_path / name))
        np.testing.assert_array_equal(seen.reshape(samples.shape), samples)


def test_other_suffix_tells_nothing_on_reading(tmp_path):
    Image.fromarray(noise(4, 5, 3)).save(tmp_path / "a.jpg", "PNG")
    assert read(tmp_path / "a.jpg").image.shape == (3, 4, 5)


# --- Kinds of PNG ------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_png_modes(tmp_path, mode):
    picture = Image.fromarray(astronaut()[:31, :45]).convert(mode)
    picture.save(tmp_path / "a.png")
    kind = {"1": "L", "P": "RGB"}.get(mode, mode)
    expected = np.asarray(picture.convert(kind))
    check_reads(tmp_path / "a.png", expected.reshape(*expected.shape[:2], -1))


@pytest.mark.parametrize("colors", [2, 4, 16, 256])
@pytest.mark.parametrize("transparency", [None, 1, b"\x00\x80\xff"])
def test_png_palettes(tmp_path, colors, transparency):
    picture = Image.fromarray(astronaut()[:31, :45]).quantize(colors)
    options = {} if transparency is None else {"transparency": transparency}
    picture.save(tmp_path / "a.png", **options)
    with Image.open(tmp_path / "a.png") as again:
        expected = np.asarray(again.convert("RGB" if transparency is None else "RGBA"))
    check_reads(tmp_path / "a.png", expected)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("keyed", [False, True])
def test_png_gray_of_few_bits(tmp_path, bits, keyed):
    values = RNG.integers(0, 1 << bits, (5, 9)).astype(np.uint8)
    rows = []
    for row in values:
        digits = "".join(f"{v:0{bits}b}" for v in row)
        digits += "0" * (-len(digits) % 8)
        rows.append(bytes(int(digits[i : i + 8], 2) for i in range(0, len(digits), 8)))
    extra = chunk(b"tRNS", struct.pack(">H", 1)) if keyed else b""
    (tmp_path / "a.png").write_bytes(png_bytes((5, 9, rows), bits, 0, extra=extra))
    expected = values[..., None] * np.uint8(255 // ((1 << bits) - 1))
    if keyed:
        alpha = np.where(values == 1, 0, 255).astype(np.uint8)
        expected = np.concatenate([expected, alpha[..., None]], axis=2)
    check_reads(tmp_path / "a.png", expected)


@pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
@pytest.mark.parametrize("bits", [8, 16])
def test_png_by_hand(tmp_path, color, channels, bits):
    samples = noise(5, 7, channels, bits)
    rows = [row.astype(f">u{bits // 8}").tobytes() for row in samples]
    (tmp_path / "a.png").write_bytes(png_bytes((5, 7, rows), bits, color))
    check_reads(tmp_path / "a.png", samples)


@pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3)])
@pytest.mark.parametrize("bits", [8, 16])
def test_png_color_key(tmp_path, color, channels, bits):
    samples = noise(5, 7, channels, bits)
    key = chunk(b"tRNS", samples[2, 3].astype(">u2").tobytes())
    rows = [row.astype(f">u{bits // 8}").tobytes() for row in samples]
    (tmp_path / "a.png").write_bytes(png_bytes((5, 7, rows), bits, color, extra=key))
    opaque = np.any(samples != samples[2, 3], axis=2, keepdims=True)
    alpha = (opaque * TOP[bits]).astype(samples.dtype)
    assert alpha[2, 3, 0] == 0
    check_reads(tmp_path / "a.png", np.concatenate([samples, alpha], axis=2))


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]
ADAM7 += [(0, 1, 1, 2)]


def interlaced(samples, bits, color, extra=b"", lacking=0):
    height, width, _ = samples.shape
    passes = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7]
    rows = [row.astype(f">u{bits // 8}").tobytes() for p in passes for row in p if p.shape[1] > 0]
    rows[-1] = rows[-1][: len(rows[-1]) - lacking]
    return png_bytes((height, width, rows), bits, color, 1, extra)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (9, 11)])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("color", "channels"), [(2, 3), (4, 2)])
def test_png_interlaced(tmp_path, size, bits, color, channels):
    samples = noise(*size, channels, bits)
    (tmp_path / "a.png").write_bytes(interlaced(samples, bits, color))
    check_reads(tmp_path / "a.png", samples)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (9, 11)])
def test_png_interlaced_palette(tmp_path, size):
    indices, palette = noise(*size, 1), noise(1, 256, 3)[0]
    table = chunk(b"PLTE", palette.tobytes())
    (tmp_path / "a.png").write_bytes(interlaced(indices, 8, 3, table))
    check_reads(tmp_path / "a.png", palette[indices[..., 0]])


# --- Kinds of JPEG and TIFF --------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg_modes(tmp_path, mode, options):
    picture = Image.fromarray(astronaut()).convert(mode)
    picture.save(tmp_path / "a.jpg", quality=95, **options)
    photo = read(tmp_path / "a.jpg")
    check_contract(photo)
    assert photo.gray == (mode == "L")
    assert photo.bits == 8
    expected = np.asarray(picture.convert("RGB"))
    assert np.abs(photo.image.permute(1, 2, 0).numpy() * 255 - expected).mean() < 4


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


# --- Orientation and profile -------------------------------------------------------------------


# Independent of the library: how the eight are made from an upright picture, in EXIF's words.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_orientation_is_applied_and_forgotten(tmp_path, suffix, orientation):
    upright = astronaut()[:64, :96]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a{suffix}"
    options = {"quality": 95, "subsampling": 0} if suffix == ".jpg" else {}
    picture = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    picture.save(path, exif=exif, **options)
    with Image.open(path) as stored:
        assert stored.getexif()[0x0112] == orientation
    photo = read(path)
    assert photo.image.shape == (3, 64, 96)
    error = np.abs(photo.image.permute(1, 2, 0).numpy() * 255 - upright)
    assert error.mean() < (3 if suffix == ".jpg" else 1e-4)
    write(path, photo)
    with Image.open(path) as again:
        assert again.getexif().get(0x0112, 1) == 1
        assert again.size == (96, 64)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("mode", ["RGB", "1"])
def test_orientation_of_tiff_by_either_way(tmp_path, orientation, bits, mode):
    upright = noise(6, 9, 3, bits)
    stored = np.ascontiguousarray(STORED[orientation](upright))
    path = tmp_path / "a.tif"
    if mode == "1":
        upright = (upright[..., :1] > TOP[bits] // 2) * np.uint8(255)
        stored = np.ascontiguousarray(STORED[orientation](upright))[..., 0]
        Image.fromarray(stored).convert("1").save(path, tiffinfo={274: orientation})
    else:
        tiff_file(path, stored, extratags=[(274, "H", 1, orientation, True)])
    check_reads(path, upright)


@pytest.mark.parametrize("tag", [0, 9, 65535])
def test_orientation_that_means_nothing_is_none(tmp_path, tag):
    exif = Image.Exif()
    exif[0x0112] = tag
    samples = noise(4, 6, 3)
    for name in ("a.png", "a.tif"):
        Image.fromarray(samples).save(tmp_path / name, exif=exif)
        check_reads(tmp_path / name, samples)


def test_broken_exif_and_profile_are_no_reason_to_refuse(tmp_path):
    samples = noise(4, 6, 3)
    extra = chunk(b"eXIf", b"II*\0nonsense") + chunk(b"iCCP", b"no zip")
    rows = [row.tobytes() for row in samples]
    (tmp_path / "a.png").write_bytes(png_bytes((4, 6, rows), 8, 2, extra=extra))
    assert check_reads(tmp_path / "a.png", samples).icc is None
    Image.fromarray(samples).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0nonsense")
    assert read(tmp_path / "a.jpg").image.shape == (3, 4, 6)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
def test_profile_is_carried_over(tmp_path, suffix, gray, bits):
    icc = GRAY_PROFILE if gray else SRGB
    photo = photo_of(noise(5, 7, 1 if gray else 3, bits), icc)
    path = tmp_path / f"a{suffix}"
    write(path, photo)
    assert read(path).icc == icc
    if bits == 8:
        assert Image.open(path).info["icc_profile"] == icc


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_profile_of_another_color_space_is_not(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(noise(5, 7, 3)[..., 0]).save(path, icc_profile=SRGB)
    assert read(path).icc is None
    write(path, photo_of(noise(5, 7, 1), SRGB))
    assert "icc_profile" not in Image.open(path).info


def test_profile_of_cmyk_is_not(tmp_path):
    profile = SRGB[:16] + b"CMYK" + SRGB[20:]
    Image.new("CMYK", (5, 4)).save(tmp_path / "a.jpg", icc_profile=profile)
    assert read(tmp_path / "a.jpg").icc is None


# --- Bad input ---------------------------------------------------------------------------------


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


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", WHOLE)
def test_truncated(tmp_path, name, share):
    path = tmp_path / name
    path.write_bytes(WHOLE[name])
    read(path)
    path.write_bytes(WHOLE[name][: int(len(WHOLE[name]) * share)])
    check_refused(path)


@pytest.mark.parametrize("layout", [{}, {"planar": "separate"}, {"tile": (16, 16)}])
def test_truncated_tiff_says_so(tmp_path, layout):
    path = tmp_path / "a.tif"
    tiff_file(path, noise(40, 40, 3, 16), **layout)
    path.write_bytes(path.read_bytes()[:-100])
    check_refused(path, "truncated")


@pytest.mark.parametrize("name", ["rgb.jpg", "progressive.jpg", "gray.jpg"])
def test_truncated_jpeg_with_an_end_mark_is_no_half_gray_picture(tmp_path, name):
    whole = WHOLE[name]
    (tmp_path / name).write_bytes(whole[: len(whole) // 2] + b"\xff\xd9")
    check_refused(tmp_path / name, "damaged")


@pytest.mark.parametrize("name", ["rgb.png", "palette.png", "bilevel.png", "gray-alpha.png"])
def test_png_without_its_end(tmp_path, name):
    (tmp_path / name).write_bytes(WHOLE[name][:-12])
    check_refused(tmp_path / name, "truncated")


@pytest.mark.parametrize("name", ["rgb.png", "palette.png", "bilevel.png", "gray-alpha.png"])
def test_png_with_a_wrong_checksum(tmp_path, name):
    whole = bytearray(WHOLE[name])
    whole[whole.index(b"IDAT") - 8 + 60] ^= 1
    (tmp_path / name).write_bytes(whole)
    check_refused(tmp_path / name)


@pytest.mark.parametrize("name", [b"PLTE", b"IDAT"])
def test_png_palette_with_a_pixel_or_color_changed(tmp_path, monkeypatch, name):
    """Stored, not zipped: nothing but a checksum can tell, also where Pillow is given to look away
    (some libraries do that on import).
    """
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    whole = bytearray(encoded("PNG", "P", compress_level=0))
    whole[whole.index(name) + 100] ^= 1
    (tmp_path / "a.png").write_bytes(whole)
    check_refused(tmp_path / "a.png", "chunk is damaged")


@pytest.mark.parametrize(("bits", "color"), [(8, 3), (8, 2), (1, 0), (16, 4)])
@pytest.mark.parametrize("interlace", [0, 1])
def test_png_that_lacks_rows(tmp_path, bits, color, interlace):
    width = {3: 8, 2: 24, 0: 1, 4: 32}[color]
    extra = chunk(b"PLTE", bytes(768)) if color == 3 else b""
    file = png_bytes((8, 8, [bytes(width)] * 4), bits, color, interlace, extra)
    (tmp_path / "a.png").write_bytes(file)
    check_refused(tmp_path / "a.png")


@pytest.mark.parametrize(("color", "channels"), [(3, 1), (2, 3)])
def test_png_interlaced_that_lacks_few_bytes(tmp_path, color, channels):
    extra = chunk(b"PLTE", bytes(768)) if color == 3 else b""
    path = tmp_path / "a.png"
    path.write_bytes(interlaced(noise(9, 11, channels), 8, color, extra))
    read(path)
    path.write_bytes(interlaced(noise(9, 11, channels), 8, color, extra, lacking=5))
    check_refused(path, "rows" if color == 3 else "")


@pytest.mark.parametrize("name", WHOLE)
def test_garbled_bytes_end_as_an_image_or_an_image_error(tmp_path, name, capfd):
    rng = np.random.default_rng(1)
    path = tmp_path / name
    for _ in range(60):
        garbled = bytearray(WHOLE[name])
        for at in rng.integers(0, min(len(garbled), rng.choice([60, 10**6])), 4):
            garbled[at] = rng.integers(256)
        path.write_bytes(garbled)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                check_contract(read(path, max_pixels=10**6))
        except ImageError:
            check_refused(path, max_pixels=10**6)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ""])
def test_empty(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.touch()
    check_refused(path, "the file is empty")


@pytest.mark.parametrize(
    "content", [b"hello", b"BM not ours", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]
)
@pytest.mark.parametrize("suffix", [".png", ".txt"])
def test_no_image(tmp_path, content, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    check_refused(path, "" if content[:1] in b"\x89\xff" else "not a PNG, JPEG or TIFF")


def test_huge_headers_are_refused_before_decoding(tmp_path, monkeypatch):
    png = png_bytes((60000, 60000, [b"abc"]), 8, 2)
    small = encoded("JPEG")
    at = small.index(b"\xff\xc0") + 5
    jpg = small[:at] + struct.pack(">HH", 60000, 60000) + small[at + 4 :]
    tif = tiff._with_directory(b"II*\0", b"", {256: (60000,), 257: (60000,)})
    for kind, content in (("png", png), ("jpg", jpg), ("tif", tif)):
        path = tmp_path / f"a.{kind}"
        path.write_bytes(content)
        check_refused(path, "60000 x 60000", "200,000,000", "max_pixels")


@pytest.mark.parametrize("kind", ["png", "jpg", "tif"])
def test_limit_is_inclusive(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    write(path, photo_of(noise(4, 5, 3)))
    read(path, max_pixels=20)
    check_refused(path, "5 x 4", max_pixels=19)


def test_pillow_has_no_limit_of_its_own_here(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    for name, content in WHOLE.items():
        (tmp_path / name).write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read(tmp_path / name)


def test_png_without_size(tmp_path):
    (tmp_path / "a.png").write_bytes(png_bytes((0, 5, []), 8, 2))
    check_refused(tmp_path / "a.png", "5 x 0")


def test_folder_missing_pipe_and_odd_names(tmp_path):
    check_refused(tmp_path, "name a file in it")
    check_refused(tmp_path / "none.png", "No such file")
    check_refused(tmp_path / ("n" * 300 + ".png"), "too long")
    os.mkfifo(tmp_path / "pipe.png")
    check_refused(tmp_path / "pipe.png", "regular file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(WHOLE["rgb.png"])
    path.chmod(0)
    check_refused(path, "Permission denied")


def test_permission_error_becomes_one_line(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(WHOLE["rgb.png"])

    def refuse(self, *mode):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(type(path), "open", refuse)
    check_refused(path, "Permission denied", "permissions")


def test_panic_in_rust_becomes_an_image_error(tmp_path, monkeypatch):
    class PanicException(BaseException):
        pass

    def panic(*_):
        raise PanicException("index out of\nbounds")

    path = tmp_path / "a.jpg"
    path.write_bytes(WHOLE["rgb.jpg"])
    monkeypatch.setattr(jpeg, "decode", panic)
    check_refused(path, "index out of bounds")


def test_interrupt_stays_an_interrupt(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    path = tmp_path / "a.jpg"
    path.write_bytes(WHOLE["rgb.jpg"])
    monkeypatch.setattr(jpeg, "decode", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read(path)


# --- Writing -----------------------------------------------------------------------------------


def flat(value=0.5, channels=3, size=(4, 5), dtype=torch.float32):
    return torch.full((channels, *size), value, dtype=dtype)


@pytest.mark.parametrize(
    ("photo", "fragment"),
    [
        (Photo(flat(channels=1)), "(3, H, W)"),
        (Photo(flat()[None]), "(1, 3, 4, 5)"),
        (Photo(flat(size=(0, 5))), "(3, 0, 5)"),
        (Photo(flat(dtype=torch.float64)), "float64"),
        (Photo(torch.zeros(3, 4, 5, dtype=torch.uint8)), "uint8"),
        (Photo(flat(float("nan"))), "NaN"),
        (Photo(flat(float("inf"))), "infinite"),
        (Photo(flat(), alpha=flat()), "alpha"),
        (Photo(flat(), alpha=flat(float("nan"), 1)), "alpha has NaN"),
        (Photo(flat(), alpha=flat(0.5, 1, (5, 4))), "resize"),
        (Photo(flat(), bits=12), "got 12; set one of them"),
    ],
)
def test_write_refuses_what_is_no_photo(tmp_path, photo, fragment):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    with pytest.raises(ImageError) as caught:
        write(path, photo)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert fragment in message
    assert ";" in message
    assert "\n" not in message
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("a.webp", "must be one of .png"),
        ("a", "must be one of .png"),
        ("none/a.png", "create it first"),
        ("folder.png", "name a file in it"),
    ],
)
def test_write_refuses_what_is_no_place(tmp_path, name, remedy):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError) as caught:
        write(tmp_path / name, Photo(flat()))
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert remedy in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize("size", [(1, 65501), (65501, 1)])
def test_write_refuses_a_jpeg_too_long(tmp_path, size):
    with pytest.raises(ImageError, match=r"write a \.png"):
        write(tmp_path / "a.jpg", Photo(flat(size=size)))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("bits", [8, 16])
def test_write_clips_and_rounds_to_nearest(tmp_path, suffix, bits):
    top = 255 if suffix == ".jpg" else TOP[bits]
    for value, level in [(-0.5, 0), (1.5, top), (10.4 / top, 10), (10.6 / top, 11)]:
        path = tmp_path / f"a{suffix}"
        write(path, Photo(flat(value), alpha=None, bits=bits))
        assert torch.all((read(path).image * top).round() == level)


def test_write_leaves_the_photo_alone(tmp_path):
    image = torch.nn.Parameter(flat(1.5))
    write(tmp_path / "a.png", Photo(image, gray=True))
    assert torch.all(image == 1.5)


def test_gray_is_the_mean(tmp_path):
    image = torch.tensor([0.0, 60 / 255, 90 / 255])[:, None, None].expand(3, 4, 5)
    write(tmp_path / "a.png", Photo(image, gray=True))
    assert np.all(np.asarray(Image.open(tmp_path / "a.png")) == 50)


@pytest.mark.parametrize("bits", [8, 16])
def test_jpeg_drops_alpha_with_a_warning_and_composites_nothing(tmp_path, bits):
    photo = Photo(flat(100 / 255), alpha=flat(0.0, 1), bits=bits)
    with pytest.warns(UserWarning, match="alpha") as caught:
        write(tmp_path / "a.jpg", photo)
    assert caught[0].filename == __file__
    after = read(tmp_path / "a.jpg")
    assert after.alpha is None
    assert after.bits == 8
    assert torch.all((after.image * 255).round() == 100)


def test_no_warning_without_alpha(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(tmp_path / "a.jpg", Photo(flat()))


@pytest.mark.parametrize("error", [RuntimeError("no\nroom"), KeyboardInterrupt()])
@pytest.mark.parametrize("place", ["encode", "replace", "open"])
@pytest.mark.parametrize("existing", [True, False])
def test_write_is_atomic(tmp_path, monkeypatch, place, error, existing):
    path = tmp_path / "a.png"
    if existing:
        path.write_bytes(b"old")

    def fail(*_, **__):
        raise error

    if place == "encode":
        monkeypatch.setattr("unfold.imaging.png.encode", fail)
    elif place == "replace":
        monkeypatch.setattr(os, "replace", fail)
    else:
        monkeypatch.setattr(type(path), "open", fail)
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ImageError
    with pytest.raises(expected) as caught:
        write(path, Photo(flat()))
    monkeypatch.undo()
    if expected is ImageError:
        assert str(caught.value).startswith(f"{path}: cannot be written (no room); ")
    assert [p.name for p in tmp_path.iterdir()] == (["a.png"] if existing else [])
    assert not existing or path.read_bytes() == b"old"


def test_the_target_is_whole_while_the_disk_fills(tmp_path):
    """A real failure: the kernel refuses to write beyond a file size limit."""
    path, said = tmp_path / "a.png", tmp_path / "said"
    path.write_bytes(b"old")

    def fill():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write(path, Photo(torch.rand(3, 100, 100)))
        except ImageError as error:
            said.write_text(str(error))

    process = apart(fill)
    process.join(timeout=60)
    assert process.exitcode == 0
    assert "File too large" in said.read_text()
    assert path.read_bytes() == b"old"
    assert {p.name for p in tmp_path.iterdir()} == {"a.png", "said"}


def test_replacing_keeps_rights_and_links(tmp_path):
    target, link = tmp_path / "a.png", tmp_path / "link.png"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    write(link, Photo(flat()))
    assert link.is_symlink()
    assert target.stat().st_mode & 0o777 == 0o640
    assert read(target).image.shape == (3, 4, 5)


def test_new_file_has_the_usual_rights(tmp_path):
    write(tmp_path / "a.png", Photo(flat()))
    (tmp_path / "usual").touch()
    assert (tmp_path / "a.png").stat().st_mode == (tmp_path / "usual").stat().st_mode


# --- Finding -----------------------------------------------------------------------------------


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_find_searches_folders_in_order(tmp_path):
    names = ["b.JPG", "a.png", "c/d.tif", "c/a.jpeg", "b/z.tiff"]
    touch(tmp_path, *names, "notes.txt", ".hidden.png", "._a.png", ".cache/x.png", "e/none.md")
    assert find_photos([tmp_path]) == sorted(tmp_path / n for n in names)


def test_find_keeps_files_and_order_as_given(tmp_path):
    touch(tmp_path, "z.webp", "f/b.png", "a.png")
    paths = [tmp_path / "z.webp", tmp_path / "f", tmp_path / "a.png"]
    assert find_photos(paths) == [tmp_path / "z.webp", tmp_path / "f/b.png", tmp_path / "a.png"]
    assert find_photos([]) == []


def test_find_follows_links_but_not_round_in_circles(tmp_path):
    touch(tmp_path, "photos/a.png", "elsewhere/b.png")
    (tmp_path / "photos/up").symlink_to(tmp_path / "photos")
    (tmp_path / "photos/z").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "photos")
    assert find_photos([tmp_path / "photos"]) == [
        tmp_path / "photos/a.png",
        tmp_path / "photos/z/b.png",
    ]


def test_find_keeps_to_the_folder_and_its_own_paths(tmp_path):
    touch(tmp_path, "beside/c.png", "photos/d/a.png")
    (tmp_path / "photos/a").symlink_to(tmp_path)  # leads up, to this folder and what is beside it
    (tmp_path / "photos/b").symlink_to(tmp_path / "photos/d")
    assert find_photos([tmp_path / "photos"]) == [tmp_path / "photos/d/a.png"]


def test_find_names_what_is_missing_or_empty(tmp_path):
    (tmp_path / "empty").mkdir()
    for name, fragment in (("none", "No such file"), ("empty", "no photos")):
        with pytest.raises(ImageError) as caught:
            find_photos([tmp_path / name])
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert fragment in str(caught.value)
        assert ";" in str(caught.value)


def test_find_does_not_pass_over_a_folder_it_cannot_list(tmp_path, monkeypatch):
    touch(tmp_path, "a.png", "closed/b.png")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ImageError, match="Permission denied"):
        find_photos([tmp_path])
