"""Photos found in folders."""

from __future__ import annotations

import os

import pytest

from unfold.imaging import ImageError, find_photos


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
