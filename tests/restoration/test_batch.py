"""Many photos: in order, overlapped, within the memory; one that fails loses itself alone."""

import os
import threading

import pytest
import torch
from inverting import Invert

from unfold.imaging import Photo, read, size_of, write
from unfold.imaging.io import contents, decode
from unfold.restoration import TiledInference, batch, plan, restore_files, tiling
from unfold.restorer import Restoration


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(6):
        write(folder / f"{i}.png", Photo(torch.rand(3, 8 + i, 9 + 2 * i)))
    (folder / "7.png").write_bytes(b"no photo")
    write(folder / "8.png", Photo(torch.rand(3, 4, 5)))
    return folder


def test_outcomes_come_in_order_and_each_when_its_file_is_there(photos, tmp_path):
    pairs, _ = plan([photos], tmp_path / "out")
    seen = []
    for outcome in restore_files(Invert(), pairs):
        assert outcome.target.exists() == (outcome.error is None)
        seen.append((outcome.source.name, bool(outcome.error)))
    names = ["0", "1", "2", "3", "4", "5", "7", "8"]
    assert seen == [(f"{n}.png", n in "27") for n in names]  # the third is 13 pixels wide
    for n in "014":
        was, now = (read(at / f"{n}.png").image for at in (photos, tmp_path / "out"))
        torch.testing.assert_close(now, 1 - was, rtol=0, atol=1e-6)


def test_the_next_is_read_and_the_last_written_meanwhile(photos, tmp_path, monkeypatch):
    """The model waits until the others have come where they come only if they do not wait."""
    (photos / "2.png").unlink()
    pairs = plan([photos], tmp_path / "out")[0][:3]
    read_, written = threading.Event(), threading.Event()

    def reading(path):
        if path.name == "1.png":
            read_.set()
        return contents(path)

    def writing(path, photo):
        write(path, photo)
        if path.name == "0.png":
            written.set()

    class Waits(Invert):
        def forward(self, image, **_):
            awaited = {9: read_, 11: written}.get(image.shape[-1])
            assert awaited is None or awaited.wait(20)
            return Restoration(image)

    monkeypatch.setattr(batch, "contents", reading)
    monkeypatch.setattr(batch, "write", writing)
    assert [o.error for o in restore_files(Waits(), pairs)] == [None] * 3


def test_nothing_overlaps_where_the_memory_does_not_hold_it(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(TiledInference, "fits", lambda *_, **__: False)
    running = []

    def alone(function):
        def call(*arguments, **options):
            assert not running
            running.append(function)
            try:
                return function(*arguments, **options)
            finally:
                running.pop()

        return call

    class Alone(Invert):
        forward = alone(Invert.forward)

    monkeypatch.setattr(batch, "decode", alone(decode))
    monkeypatch.setattr(batch, "write", alone(write))
    pairs, _ = plan([photos], tmp_path / "out")
    errors = [o.source.name for o in restore_files(Alone(), pairs) if o.error]
    assert errors == ["2.png", "7.png"]


def test_an_interrupt_leaves_whole_files_alone(photos, tmp_path):
    class Interrupted(Invert):
        def forward(self, image, **_):
            if image.shape[-1] == 11:
                raise KeyboardInterrupt
            return Restoration(image)

    pairs, _ = plan([photos], tmp_path / "out")
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        list(restore_files(Interrupted(), pairs))
    assert threading.active_count() == before
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["0.png"]
    assert read(tmp_path / "out" / "0.png").image.shape == (3, 8, 9)


def test_who_stops_asking_stops_the_work(photos, tmp_path):
    pairs, _ = plan([photos], tmp_path / "out")
    outcomes = restore_files(Invert(), pairs)
    next(outcomes)
    outcomes.close()
    assert {p.name for p in (tmp_path / "out").iterdir()} <= {"0.png", "1.png"}


def test_a_model_that_fails_when_it_is_measured_fails_the_photo(photos, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no measure")

    monkeypatch.setattr(tiling, "bytes_per_pixel", fail)
    pairs, _ = plan([photos / "0.png"], tmp_path / "out")
    (outcome,) = restore_files(Invert(), pairs, memory=1 << 20)
    assert "Invert failed on 9×8 pixels (no measure)" in outcome.error


def test_a_budget_too_small_fails_the_photo_in_one_line(photos, tmp_path):
    pairs = plan([photos / "0.png", photos / "1.png"], tmp_path / "out")[0]
    errors = [o.error for o in restore_files(Invert(), pairs, memory=1 << 20)]
    assert all("Invert failed on" in error and "of 1 MiB: allow" in error for error in errors)
    assert not any("\n" in error for error in errors)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def alike(tmp_path):
    """Ten photos of two sizes in turns, a bad file, and one of a third size."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(10):
        write(folder / f"{i}.png", Photo(torch.rand(3, 8, 10 + i % 2), gray=i == 4))
    (folder / "a.png").write_bytes(b"no photo")
    write(folder / "b.png", Photo(torch.rand(3, 4, 5)))
    return folder


class Counts(Invert):
    """Keeps how many photos it was given at once."""

    def __init__(self):
        super().__init__()
        self.given = []

    def forward(self, image, **_):
        if (image.shape[-1] == 11 and len(image) > 1) or image.amax() > 2:
            raise RuntimeError("too many")
        self.given.append(len(image))
        return Restoration(1 - image)


def test_photos_of_one_size_are_restored_at_once(alike, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    model = Counts()
    outcomes = list(restore_files(model, plan([alike], together)[0], batch=3))
    assert {o.source.name for o in outcomes} == {p.name for p in alike.iterdir()}
    assert [o.source.name for o in outcomes if o.error] == ["a.png"]
    # Of 10 pixels 3 and 2; of 11 each alone, as the model does not take several; of 5 one.
    assert model.given == [3, 2, 1, 1, 1, 1, 1, 1]
    list(restore_files(Counts(), plan([alike], alone)[0]))
    for path in alone.iterdir():
        assert path.read_bytes() == (together / path.name).read_bytes()


def test_a_photo_that_fails_in_a_batch_fails_alone(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(3):
        write(folder / f"{i}.png", Photo(torch.rand(3, 8, 10)))

    class Fails(Counts):
        def forward(self, image, **options):
            if (image[:, :, 0, 0] == bad).all(1).any():
                raise RuntimeError("this one")
            return super().forward(image, **options)

    bad = read(folder / "1.png").image[:, 0, 0]
    outcomes = list(restore_files(Fails(), plan([folder], tmp_path / "out")[0], batch=3))
    assert [bool(o.error) for o in outcomes] == [False, True, False]
    assert "this one" in outcomes[1].error


def test_a_batch_that_the_memory_does_not_hold_is_divided(alike, tmp_path, monkeypatch):
    monkeypatch.setattr(TiledInference, "fits", lambda *_, batch=1, **__: batch == 1)
    model = Counts()
    list(restore_files(model, plan([alike], tmp_path / "out")[0], batch=3))
    assert model.given == 11 * [1]


def test_no_batch_of_none():
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        list(restore_files(Invert(), [], batch=0))


def test_headers_are_read_as_it_goes(alike, tmp_path, monkeypatch):
    """Not those of a whole archive before the first photo is restored."""
    for i in range(80):  # (a window takes 64 of them)
        os.link(alike / "0.png", alike / f"c{i}.png")
    looked = []
    monkeypatch.setattr(batch, "size_of", lambda path: (looked.append(path.name), size_of(path))[1])
    pairs, _ = plan([alike], tmp_path / "out")
    outcomes = restore_files(Counts(), pairs, batch=2)
    next(outcomes)
    assert len(set(looked)) < len(pairs)
    assert {o.source.name for o in outcomes} < {path.name for path in alike.iterdir()}
    assert len(set(looked)) == len(pairs)
