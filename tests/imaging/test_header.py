"""The size from the header, against the size of the decoded picture."""

import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import picture
from PIL import Image

from unfold.imaging import ImageError, Photo, read, size_of, write


def save(path, size=(13, 8), mode="RGB", **options):
    Image.fromarray(picture(1, size)).convert(mode).save(path, **options)
    return path


def decoded(path):
    height, width = read(path).image.shape[1:]
    return width, height


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_turned_photos(tmp_path, suffix, orientation):
    path = tmp_path / f"x.{suffix}"
    if suffix == "tif":
        save(path, tiffinfo={274: orientation})
    else:
        exif = Image.Exif()
        exif[274] = orientation
        save(path, exif=exif)
    assert size_of(path) == decoded(path) == ((13, 8) if orientation < 5 else (8, 13))


KINDS = [
    ("png", "L", {}), ("png", "LA", {}), ("png", "P", {}), ("png", "1", {}), ("png", "I;16", {}),
    ("png", "RGBA", {}), ("jpg", "L", {}), ("jpg", "CMYK", {}),
    ("jpg", "RGB", {"progressive": True}),
    ("tif", "L", {}), ("tif", "I;16", {}), ("tif", "RGB", {"compression": "tiff_lzw"}),
    ("tif", "CMYK", {}), ("tif", "RGB", {"compression": "jpeg"}),
    ("tif", "RGB", {"big_tiff": True}),
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "mode", "options"), KINDS, ids=str)
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(width=st.integers(1, 40), height=st.integers(1, 40))
def test_kinds_and_sizes(tmp_path, suffix, mode, options, width, height):
    path = tmp_path / f"x.{suffix}"
    if mode == "I;16":
        values = np.arange(width * height, dtype=np.uint16).reshape(height, width)
        Image.fromarray(values).save(path, **options)
    else:
        save(path, (width, height), mode, **options)
    assert size_of(path) == decoded(path) == (width, height)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_every_way_to_cut_a_file_short(tmp_path, suffix):
    """What passes can be read, what cannot be read does not pass, at every length."""
    whole = save(tmp_path / f"whole.{suffix}", (3, 2)).read_bytes()
    path = tmp_path / f"cut.{suffix}"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert passes(size_of, path) == passes(read, path), f"{length} of {len(whole)} bytes"


def test_a_tiff_that_ends_with_its_directory(tmp_path):
    """As the project writes them: of what ends early the pixels are all there, the rest is not."""
    path = tmp_path / "x.tif"
    write(path, Photo(torch.rand(3, 4, 5), alpha=torch.rand(1, 4, 5)))
    whole = path.read_bytes()
    assert size_of(path) == (5, 4)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert not passes(size_of, path), f"{length} of {len(whole)} bytes"


def passes(function, path):
    try:
        function(path)
    except ImageError as error:
        return "\n" in str(error)  # (no error has two lines)
    return True


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_more_may_follow_the_end(tmp_path, suffix):
    path = save(tmp_path / f"x.{suffix}")
    path.write_bytes(path.read_bytes() + b"what a phone appends")
    assert size_of(path) == decoded(path) == (13, 8)
    path.write_bytes(path.read_bytes()[: -len(b"what a phone appends") - 13] + b"again" * 9)
    if suffix != "tif":
        with pytest.raises(ImageError, match="truncated"):
            size_of(path)


def test_a_thumbnail_is_not_the_end(tmp_path):
    thumbnail = save(tmp_path / "small.jpg", (8, 8)).read_bytes()
    path = save(tmp_path / "x.jpg", comment=thumbnail)
    assert size_of(path) == (13, 8)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ImageError, match="truncated"):
        size_of(path)


def test_other_formats_are_refused_whatever_their_suffix(tmp_path):
    Image.fromarray(picture(0)).save(tmp_path / "x.bmp")
    (tmp_path / "x.bmp").rename(tmp_path / "x.png")
    with pytest.raises(ImageError, match="not a PNG, JPEG or TIFF file; convert it"):
        size_of(tmp_path / "x.png")
    save(tmp_path / "y.jpg").rename(tmp_path / "y.png")  # read goes by the content, so does this
    assert size_of(tmp_path / "y.png") == decoded(tmp_path / "y.png")


def test_a_header_that_lies(tmp_path):
    path = save(tmp_path / "x.png")
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 1 << 20, 1 << 20)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with pytest.raises(ImageError, match="1048576 x 1048576 pixels, above the limit"):
        size_of(path)
