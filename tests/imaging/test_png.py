"""PNG files, against Pillow and files made by hand."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from photo_files import (
    RNG,
    TOP,
    WHOLE,
    astronaut,
    check_reads,
    check_refused,
    chunk,
    encoded,
    noise,
    png_bytes,
)
from PIL import Image, ImageFile

from unfold.imaging import read


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


def test_png_without_size(tmp_path):
    (tmp_path / "a.png").write_bytes(png_bytes((0, 5, []), 8, 2))
    check_refused(tmp_path / "a.png", "5 x 0")
