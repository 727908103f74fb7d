"""JPEG files, against Pillow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from photo_files import (
    SRGB,
    WHOLE,
    astronaut,
    check_contract,
    check_refused,
    flat,
    photo_of,
    samples_of,
)
from PIL import Image
from skimage import data

from unfold.imaging import ImageError, Photo, read, write


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


@pytest.mark.parametrize("name", ["rgb.jpg", "progressive.jpg", "gray.jpg"])
def test_truncated_jpeg_with_an_end_mark_is_no_half_gray_picture(tmp_path, name):
    whole = WHOLE[name]
    (tmp_path / name).write_bytes(whole[: len(whole) // 2] + b"\xff\xd9")
    check_refused(tmp_path / name, "damaged")


@pytest.mark.parametrize("size", [(1, 65501), (65501, 1)])
def test_write_refuses_a_jpeg_too_long(tmp_path, size):
    with pytest.raises(ImageError, match=r"write a \.png"):
        write(tmp_path / "a.jpg", Photo(flat(size=size)))


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
