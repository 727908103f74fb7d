"""What is written reads as it was, here and by others."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from photo_files import check_reads, noise, photo_of
from PIL import Image

from unfold.imaging import read, write


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
