"""Headers that claim more than their file holds are refused before anything is made of them."""

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile
from photo_files import png_file
from PIL import Image

from unfold.imaging import ImageError, read, size_of, tiff

KINDS = {
    "gray": ((24, 56), {}),
    "white is zero": ((24, 56), {"photometric": "miniswhite"}),
    "gray and alpha": ((24, 56, 2), {"photometric": "minisblack", "extrasamples": ["unassalpha"]}),
    "planes": ((3, 24, 56), {"photometric": "rgb", "planarconfig": "separate"}),
    "tiles": ((24, 56, 3), {"photometric": "rgb", "tile": (16, 16)}),
    "zipped": ((24, 56, 3), {"photometric": "rgb", "compression": "zlib", "rowsperstrip": 8}),
    "bigtiff": ((24, 56, 3), {"photometric": "rgb", "bigtiff": True}),
}
LONG, RATIONAL, ASCII, FLOAT, DOUBLE = 4, 5, 2, 11, 12


def tiff_bytes(kind, bits=16, order=">"):
    shape, options = KINDS[kind]
    file = io.BytesIO()
    samples = np.arange(np.prod(shape), dtype=f"uint{bits}").reshape(shape)
    tifffile.imwrite(file, samples, byteorder=order, metadata=None, **options)
    return file.getvalue()


def tagged(data, tag, kind, packed):
    """The file with one number of a type in the tag's entry, which it must have."""
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4].strip(b"\0") == b"+"
    at = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)[0]
    (entries,) = struct.unpack_from(order + ("Q" if big else "H"), data, at)
    for index in range(entries):
        entry = at + (8 + 20 * index if big else 2 + 12 * index)
        if struct.unpack_from(order + "H", data, entry)[0] == tag:
            head = struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, 1)
            room = 8 if big else 4
            return (
                data[:entry] + head + packed.ljust(room, b"\0") + data[entry + len(head) + room :]
            )
    raise AssertionError(f"no tag {tag}")


def long(value, order=">"):
    return struct.pack(order + "I", value)


def refusal(path, data):
    """What both readers say, the one that decodes and the one that looks at the header only."""
    path.write_bytes(data)
    with pytest.raises(ImageError) as header:
        size_of(path)
    with pytest.raises(ImageError) as caught:
        read(path)
    assert ";" in str(header.value)
    assert str(caught.value) == f"{path}: {header.value}"
    return str(header.value)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_million_rows_in_few_bytes(tmp_path, kind, bits):
    data = tiff_bytes(kind, bits)
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    assert read(path).image.shape == (3, 24, 56)
    tall = tagged(data, tiff.HEIGHT, LONG, long(1 << 20))
    said = refusal(path, tall)
    assert "lacks strips or tiles" in said or "can hold" in said
    if kind != "tiles":
        said = refusal(path, tagged(tall, tiff.ROWS, LONG, long(1 << 20)))
        assert "lacks strips or tiles" in said or "can hold" in said


@pytest.mark.parametrize("kind", ["planes", "gray and alpha"])
@pytest.mark.parametrize("channels", [0, 1 << 31])
def test_channels_that_nobody_has(tmp_path, kind, channels):
    data = tagged(tiff_bytes(kind, 8), tiff.SAMPLES, LONG, long(channels))
    assert f"claims {channels} channels" in refusal(tmp_path / "a.tif", data)


@pytest.mark.parametrize("tag", [tiff.WIDTH, tiff.HEIGHT, tiff.STRIP_AT, tiff.STRIP_BYTES])
@pytest.mark.parametrize(
    ("kind", "packed"),
    [
        (ASCII, b"56\0"),
        (FLOAT, struct.pack(">f", 56.0)),
        (FLOAT, struct.pack(">f", float("nan"))),
        (FLOAT, struct.pack(">f", 23.5)),
        (RATIONAL, long(8)),
        (99, long(56)),
    ],
)
def test_what_is_no_whole_number(tmp_path, tag, kind, packed):
    said = refusal(tmp_path / "a.tif", tagged(tiff_bytes("gray"), tag, kind, packed))
    assert f"tag {tag} does not hold integers" in said


@pytest.mark.parametrize("codec", [tiff.RAW, tiff.DEFLATE])
def test_one_strip_listed_many_times(tmp_path, codec):
    strip = bytes(5600) if codec == tiff.RAW else zlib.compress(bytes(5600))
    tags = {256: (56,), 257: (100_000,), 258: (8,), 259: (codec,), 262: (1,), 277: (1,)}
    tags |= {278: (100,), 273: (8,) * 1000, 279: (len(strip),) * 1000}
    data = tiff._with_directory(b"II*\0", strip, tags)
    assert "claim more than the file holds" in refusal(tmp_path / "a.tif", data)


def test_tags_that_share_their_bytes(tmp_path):
    tags = {256: (4,), 257: (4,), 273: (8,), 279: (16,)} | {t: bytes(900) for t in range(700, 720)}
    data = bytearray(tiff._with_directory(b"II*\0", bytes(16), tags))
    for entry in range(len(data) - 20 * 900 - 4 - 240, len(data) - 20 * 900 - 4, 12):
        data[entry + 4 : entry + 12] = struct.pack("<II", 5000, 8)
    assert "tags claim more than the file holds" in refusal(tmp_path / "a.tif", bytes(data))


def test_a_strip_of_unsaid_length_goes_to_the_end(tmp_path):
    samples = np.arange(12, dtype=np.uint8).reshape(3, 4)
    tags = {256: (4,), 257: (3,), 258: (8,), 262: (1,), 273: (8,)}
    path = tmp_path / "a.tif"
    path.write_bytes(tiff._with_directory(b"II*\0", samples.tobytes(), tags))
    assert np.array_equal((read(path).image[0] * 255).numpy().round(), samples)
    assert size_of(path) == (4, 3)


def png(width, height, bits, color):
    return png_file(width, height, bits, color, bytes(99))


@pytest.mark.parametrize(("bits", "color"), [(8, 2), (16, 6), (8, 3), (1, 0)])
def test_png(tmp_path, bits, color):
    assert "can hold" in refusal(tmp_path / "a.png", png(20_000, 10_000, bits, color))


@pytest.mark.parametrize(("bits", "color"), [(8, 5), (3, 0)])
def test_png_of_no_kind(tmp_path, bits, color):
    said = refusal(tmp_path / "a.png", png(4, 4, bits, color))
    assert f"claims color type {color} and {bits} bits" in said


def jpeg(mode="L", size=(64, 64), **options):
    file = io.BytesIO()
    Image.new(mode, size).save(file, "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg(tmp_path, mode):
    data = jpeg(mode)
    at = data.index(b"\xff\xc0") + 5
    data = data[:at] + struct.pack(">HH", 10_000, 20_000) + data[at + 4 :]
    assert "can hold" in refusal(tmp_path / "a.jpg", data)


def test_jpeg_of_endless_scans(tmp_path):
    data = jpeg("CMYK", progressive=True)
    thumbnails = b"\xff\xda" * 500
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg("CMYK", progressive=True, comment=thumbnails) + thumbnails)
    read(path)
    last = data[data.rindex(b"\xff\xda") : -2]
    path.write_bytes(data[:-2] + 100 * last + b"\xff\xd9")
    with pytest.raises(ImageError, match="118 scans, above the limit of 100"):
        read(path)


BLANK = {
    "1.tif": ["group4", "group3", "tiff_ccitt", "packbits", "tiff_lzw"],
    "L.tif": [None, "tiff_lzw", "packbits", "tiff_adobe_deflate", "lzma", "zstd", "jpeg"],
    "CMYK.tif": ["tiff_lzw", "zstd", "jpeg"],
}


@pytest.mark.parametrize(
    ("mode", "options"),
    [(name, {"compression": codec}) for name, codecs in BLANK.items() for codec in codecs]
    + [("1.png", {}), ("L.png", {}), ("RGB.png", {})]
    + [("L.jpg", {"progressive": True, "optimize": True, "quality": 1}), ("CMYK.jpg", {})],
    ids=str,
)
def test_no_blank_page_is_too_good_to_be_true(tmp_path, mode, options):
    """What each codec makes least of is still believed."""
    path = tmp_path / mode
    try:
        Image.new(mode.partition(".")[0], (2000, 1000)).save(path, **options)
    except OSError as error:
        pytest.skip(f"this Pillow was built without the codec: {error}")
    assert read(path).image.shape == (3, 1000, 2000)
    assert size_of(path) == (2000, 1000)
