"""Photos in, photos out: what goes where, and what a bad file does (nothing to the others)."""

import numpy as np
import pytest
import torch
from inverting import Invert

from unfold.imaging import ImageError, Photo, read, write
from unfold.restoration import plan, read_kernel, restore_files


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    torch.manual_seed(0)
    for name in ("a.png", "deep/b.tif"):
        write(folder / name, Photo(torch.rand(3, 5, 7)))
    return folder


def run(sources, output, **options):
    pairs, missing = plan(sources, output)
    return missing + list(restore_files(Invert(), pairs, **options))


def test_a_folder_is_mirrored(photos, tmp_path):
    outcomes = run([photos], tmp_path / "out")
    assert [o.error for o in outcomes] == [None, None]
    for name in ("a.png", "deep/b.tif"):
        was, now = read(photos / name).image, read(tmp_path / "out" / name).image
        torch.testing.assert_close(now, 1 - was, rtol=0, atol=1e-6)


def test_one_file_to_one_file(photos, tmp_path):
    (outcome,) = run([photos / "a.png"], tmp_path / "new" / "c.tiff")
    assert outcome.error is None
    assert read(tmp_path / "new" / "c.tiff").image.shape == (3, 5, 7)


def test_gray_alpha_and_depth_are_kept(tmp_path):
    photo = Photo(torch.rand(1, 4, 6).repeat(3, 1, 1), torch.rand(1, 4, 6), gray=True, bits=16)
    write(tmp_path / "g.png", photo)
    run([tmp_path / "g.png"], tmp_path / "out")
    restored = read(tmp_path / "out" / "g.png")
    assert restored.gray
    assert restored.bits == 16
    torch.testing.assert_close(restored.alpha, photo.alpha, rtol=0, atol=1e-4)
    torch.testing.assert_close(restored.image, 1 - photo.image, rtol=0, atol=1e-4)


def test_bad_files_are_told_and_the_others_go_on(photos, tmp_path):
    (photos / "0.jpg").write_bytes(b"not a photo")
    (photos / "1.png").write_bytes((photos / "a.png").read_bytes()[:40])
    write(photos / "2.png", Photo(torch.rand(3, 5, 13)))
    outcomes = run([tmp_path / "gone.png", photos], tmp_path / "out")
    errors = {o.source.name: o.error for o in outcomes if o.error}
    assert set(errors) == {"gone.png", "0.jpg", "1.png", "2.png"}
    for name, error in errors.items():
        assert name in error
        assert "\n" not in error
    assert "Invert failed on 13×5 pixels (no memory for thirteen)" in errors["2.png"]
    left = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*")}
    assert left == {"a.png", "deep/b.tif"}


def test_a_photo_is_never_written_over_another(photos, tmp_path):
    (tmp_path / "other").mkdir()
    write(tmp_path / "other" / "a.png", Photo(torch.rand(3, 2, 2)))
    before = {p: p.read_bytes() for p in tmp_path.rglob("*.*")}
    outcomes = run([photos], photos)  # every photo onto itself
    assert all("would replace the photo itself" in o.error for o in outcomes)
    clashing = run([photos / "a.png", tmp_path / "other" / "a.png"], tmp_path / "out")
    assert [bool(o.error) for o in clashing] == [True, False]  # the first is restored
    assert " as " + str(photos / "a.png") in clashing[0].error
    over = run([photos / "a.png", tmp_path / "other" / "a.png"], tmp_path / "other")
    assert len([o for o in over if o.error]) == 2
    assert {p: p.read_bytes() for p in before} == before


def test_a_file_given_twice_is_restored_once(photos, tmp_path):
    outcomes = run([photos / "a.png", photos, photos / ".." / "in" / "a.png"], tmp_path / "out")
    assert sorted(o.source.name for o in outcomes) == ["a.png", "b.tif"]


def test_a_second_run_leaves_the_first_ones_pictures_alone(photos):
    first = {o.source.name for o in run([photos], photos / "out")}
    assert {o.source.name for o in run([photos], photos / "out")} == first == {"a.png", "b.tif"}
    assert not (photos / "out" / "out").exists()
    (left,) = run([photos / "out" / "deep"], photos / "out")  # asked for by name, it is a source
    assert left.error is None


def test_outputs_that_cannot_be(photos, tmp_path):
    with pytest.raises(ImageError, match="is one file, got 2 photos"):
        plan([photos], tmp_path / "out.png")
    with pytest.raises(ImageError, match=r"\.gif cannot be written; use one of \.png"):
        plan([photos / "a.png"], tmp_path / "o.gif")
    (tmp_path / "file").write_text("in the way")
    (outcome,) = run([photos / "a.png"], tmp_path / "file" / "below")
    assert "file/below cannot be made (Not a directory); choose another" in outcome.error


def test_names_with_line_breaks_stay_on_one_line(tmp_path):
    (tmp_path / "a\nb.png").write_bytes(b"no photo")
    (outcome,) = run([tmp_path], tmp_path / "out")
    assert "a\\nb.png: not a PNG" in outcome.error
    assert "\n" not in outcome.error


def test_the_limit_on_pixels_can_be_set(photos, tmp_path):
    (outcome,) = run([photos / "a.png"], tmp_path / "out", max_pixels=34)
    assert "7 x 5 pixels, above the limit of 34" in outcome.error
    assert not run([photos / "a.png"], tmp_path / "out", max_pixels=35)[0].error


KERNEL = np.array([[0, 1, 0], [2, 3, 2], [0, 1, 1]], float)


@pytest.mark.parametrize("suffix", ["npy", "npz", "txt", "csv", "png"])
def test_kernels_are_read_and_sum_to_one(tmp_path, suffix):
    path = tmp_path / f"k.{suffix}"
    {
        "npy": lambda: np.save(path, KERNEL),
        "npz": lambda: np.savez(path, k=KERNEL),
        "txt": lambda: np.savetxt(path, KERNEL),
        "csv": lambda: np.savetxt(path, KERNEL, delimiter=","),
        "png": lambda: write(path, Photo(torch.tensor(KERNEL / 10).float().expand(3, 3, 3))),
    }[suffix]()
    want = torch.tensor(KERNEL / KERNEL.sum()).float()[None, None]
    torch.testing.assert_close(read_kernel(path), want, rtol=0, atol=5e-3)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("k.npy", np.zeros((3, 3)), "not all zero"),
        ("k.npy", -np.eye(3), "not negative"),
        ("k.npy", np.full((3, 3), np.nan), "finite"),
        ("k.npy", np.ones((2, 3, 3)), r"2-D array.*\(2, 3, 3\)"),
        ("k.npy", np.array([["a"]]), "2-D array"),
        ("k.npy", np.array([[{}]], dtype=object), "cannot be read as a kernel"),
        ("k.npz", {"a": np.eye(3), "b": np.eye(3)}, "2 arrays, not one"),
    ],
)
def test_bad_kernels(tmp_path, name, value, message):
    path = tmp_path / name
    np.savez(path, **value) if isinstance(value, dict) else np.save(path, value)
    with pytest.raises(ImageError, match=message) as caught:
        read_kernel(path)
    assert str(path) in str(caught.value)


@pytest.mark.filterwarnings("error")
def test_kernel_files_that_are_none(tmp_path):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(ImageError, match=r"empty\.txt: .*shape \("):
        read_kernel(tmp_path / "empty.txt")
    for name in ("k.npy", "k.txt", "k.png"):
        (tmp_path / name).write_bytes(b"\x93NUMPY rubbish")
        with pytest.raises(ImageError, match=name):
            read_kernel(tmp_path / name)
    with pytest.raises(ImageError, match=r"gone\.npy"):
        read_kernel(tmp_path / "gone.npy")
