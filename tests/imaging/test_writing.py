"""Writing: what is refused, values, whole files and their rights."""

from __future__ import annotations

import os
import resource
import signal
import warnings

import numpy as np
import pytest
import torch
from photo_files import TOP, flat
from PIL import Image
from tiny_training import apart

from unfold.imaging import ImageError, Photo, read, write


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
