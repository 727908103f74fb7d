"""Orientation and color profile of a file."""

from __future__ import annotations

import numpy as np
import pytest
from photo_files import (
    SRGB,
    TOP,
    astronaut,
    check_reads,
    chunk,
    noise,
    photo_of,
    png_bytes,
    tiff_file,
)
from PIL import Image

from unfold.imaging import read, write

GRAY_PROFILE = SRGB[:16] + b"GRAY" + SRGB[20:]
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
