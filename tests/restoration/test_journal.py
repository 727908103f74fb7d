"""The journal of restored folders: what it knows after each way to end."""

import hashlib
import json
import multiprocessing
import os
import random

import pytest

from unfold.cli import main
from unfold.imaging import ImageError
from unfold.restoration.journal import Journal, SourceFile, merge_journals, read_journal

SETTINGS = {"model": {"kind": "identity"}, "weights": None}


def source(folder, name="a.png", data=b"photo"):
    path = folder / name
    path.write_bytes(data)
    status = path.stat()
    return SourceFile(path, hashlib.sha256(data).hexdigest(), status.st_size, status.st_mtime_ns)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    return tmp_path


def open_journal(place, **settings):
    return Journal(place / "out" / "journal.jsonl", SETTINGS | settings)


def lines(place):
    return [json.loads(x) for x in (place / "out" / "journal.jsonl").read_text().splitlines()]


def test_what_is_done_is_known_to_the_next_run(place):
    photo, target = source(place / "in"), place / "out" / "x" / "a.png"
    target.parent.mkdir()
    journal = open_journal(place)
    assert not journal.unchanged(photo.path, target)
    journal.put(photo, target, b"restored", 1.23456)
    journal.close()
    assert target.read_bytes() == b"restored"
    journal = open_journal(place)
    assert journal.unchanged(photo.path, target)
    assert journal.holds(photo, target)
    os.utime(photo.path, ns=(0, 0))
    assert not journal.unchanged(photo.path, target)
    assert journal.holds(photo, target)  # the bytes are the same
    assert not journal.holds(source(place / "in", "b.png", b"other"), target)
    target.write_bytes(b"cut")
    assert not journal.holds(photo, target)
    journal.close()
    run, writing, done, again = lines(place)
    assert run["settings"] == SETTINGS
    assert (writing["status"], done["status"], again["status"]) == ("writing", "done", "run")
    assert done | {"status": 0, "time": 0} == writing | {"status": 0, "time": 0}
    assert done["target"] == os.path.join("x", "a.png")
    assert done["source"] == str(photo.path)
    assert (done["sha256"], done["seconds"], done["run"]) == (photo.sha256, 1.2346, run["run"])
    assert done["output_sha256"] == hashlib.sha256(b"restored").hexdigest()


def test_another_model_restores_anew(place):
    photo, target = source(place / "in"), place / "out" / "a.png"
    journal = open_journal(place)
    journal.put(photo, target, b"restored", 1)
    journal.close()
    journal = open_journal(place, weights="other")
    assert not journal.unchanged(photo.path, target)
    assert not journal.holds(photo, target)
    journal.close()


def test_what_failed_is_tried_again(place):
    photo, target = source(place / "in"), place / "out" / "a.png"
    journal = open_journal(place)
    journal.put(photo, target, b"restored", 1)
    journal.fail(photo, target, "the disk is full")
    journal.fail(place / "in" / "gone.png", place / "out" / "gone.png", "no such file")
    assert not journal.holds(photo, target)
    journal.close()
    assert [x.get("error") for x in lines(place)[-2:]] == ["the disk is full", "no such file"]
    assert "sha256" not in lines(place)[-1]
    journal = open_journal(place)
    assert not journal.unchanged(photo.path, target)
    journal.close()


@pytest.mark.parametrize("in_place", [True, False])
def test_killed_between_the_record_and_the_output(place, in_place):
    photo, target = source(place / "in"), place / "out" / "a.png"
    journal = open_journal(place)
    journal.put(photo, target, b"restored", 1)
    journal.close()
    path = place / "out" / "journal.jsonl"
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:2]) + whole[2][:20])  # `done` was cut short
    if not in_place:
        target.write_bytes(b"from before")
    journal = open_journal(place)
    assert journal.holds(photo, target) == in_place
    journal.close()
    statuses = [x["status"] for x in lines(place)]
    assert statuses == ["run", "writing", *(["done"] * in_place), "run"]


def test_a_journal_cut_anywhere_is_mended(place):
    photos = [source(place / "in", f"{i}.png", b"%d" % i) for i in range(4)]
    journal = open_journal(place)
    for photo in photos:
        journal.put(
            photo, place / "out" / photo.path.name, b"out of " + photo.path.name.encode(), 1
        )
    journal.close()
    path = place / "out" / "journal.jsonl"
    whole = path.read_bytes()
    rng = random.Random(0)
    for cut in [0, len(whole), *(rng.randrange(len(whole)) for _ in range(60))]:
        path.write_bytes(whole[:cut])
        journal = open_journal(place)
        for photo in photos:
            target = place / "out" / photo.path.name
            begun = f'"target": "{photo.path.name}"'.encode()
            recorded = any(begun in x for x in whole[:cut].splitlines(keepends=True)
                           if x.endswith(b"\n"))  # fmt: skip
            # All outputs are in place: what was on record as begun is found to be done.
            assert journal.holds(photo, target) == recorded
        journal.close()


def test_one_process_a_journal(place):
    journal = open_journal(place)

    def other():
        with pytest.raises(ImageError, match=f"process {os.getppid()} restores to this folder"):
            open_journal(place)

    process = multiprocessing.get_context("fork").Process(target=other)
    process.start()
    process.join()
    assert process.exitcode == 0
    journal.close()


@pytest.mark.parametrize("data", [b"hello\n", b"[]\n", b'{"a": 1}\n', b"\xff\xfe\n"])
def test_what_is_no_journal_stays_as_it_is(place, data):
    path = place / "out" / "journal.jsonl"
    path.write_bytes(data)
    with pytest.raises(ImageError, match="is not a journal, or is damaged"):
        open_journal(place)
    assert path.read_bytes() == data
    with pytest.raises(ImageError, match="is not a journal, or is damaged"):
        read_journal(path)


def shard(place, number, records):
    path = place / f"journal-{number}.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_shards_are_merged(place, capsys):
    def record(target, status, time):
        return {"target": target, "status": status, "time": time, "run": "r"}

    one = shard(place, 1, [{"status": "run", "time": "0", "run": "r"}, record("a", "failed", "1"),
                           record("a", "done", "2"), record("b", "writing", "9")])  # fmt: skip
    two = shard(place, 2, [record("a", "failed", "3"), record("b", "failed", "4"),
                           record("c", "done", "1")])  # fmt: skip
    output = place / "all.jsonl"
    assert merge_journals([one, two], output) == {"done": 2, "writing": 1}
    found = {t: (r["status"], r["time"]) for t, r in read_journal(output).items()}
    assert found == {"a": ("done", "2"), "b": ("writing", "9"), "c": ("done", "1")}
    assert merge_journals([two, one, output], output) == {"done": 2, "writing": 1}
    assert main(["journal", "merge", str(one), str(two), "--output", str(output)]) == 1
    assert "2 done, 1 writing" in capsys.readouterr().out
    good = shard(place, 3, [record("c", "done", "1")])
    assert main(["journal", "merge", str(good), "--output", str(output)]) == 0
    assert main(["journal", "merge", str(good), "--output", str(place / "out" / "x")]) == 2
    assert "is in another folder" in capsys.readouterr().err
    assert main(["journal", "merge", str(place / "none"), "--output", str(output)]) == 2
    assert len(read_journal(output)) == 1
