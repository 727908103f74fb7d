"""Files that are damaged, too large or no pictures, and places that cannot be read."""

from __future__ import annotations

import os
import struct
import warnings

import numpy as np
import pytest
from photo_files import WHOLE, check_contract, check_refused, encoded, noise, photo_of, png_bytes
from PIL import Image

from unfold.imaging import ImageError, jpeg, read, tiff, write


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", WHOLE)
def test_truncated(tmp_path, name, share):
    path = tmp_path / name
    path.write_bytes(WHOLE[name])
    read(path)
    path.write_bytes(WHOLE[name][: int(len(WHOLE[name]) * share)])
    check_refused(path)


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
