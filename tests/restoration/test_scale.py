"""Folders of any size: killed, sharded, full of hostile files."""

import contextlib
import hashlib
import json
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from photo_files import png_file
from PIL import Image
from skimage.data import astronaut, chelsea, coffee
from tiny_training import apart

from unfold.cli import main
from unfold.imaging import Photo, read, write
from unfold.restoration.journal import read_journal

# (What is tested are files and journals: no time is spent on the kernel of each photo.)
MODEL = ["--model", "jude-classic", "--set", "K=2", "--set", "kernel_estimator=point",
         "--device", "cpu"]  # fmt: skip
COUNT = 24
KILLS = 4


def restore(folder, output, *more):
    return main(["restore", str(folder), "--output", str(output), *MODEL, *map(str, more)])


def photos(folder, count=COUNT):
    """Real crops of unlike sizes, in folders below each other."""
    sources = [astronaut(), coffee(), chelsea()]
    for i in range(count):
        image = sources[i % 3][10 * i : 10 * i + 30 + i, 40 : 80 + i]
        path = folder / ("deep/er" if i % 2 else "") / f"{i:02d}.{('png', 'jpg', 'tif')[i % 3]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, Photo(torch.tensor(image).permute(2, 0, 1) / 255))
    return folder


def files(folder):
    """Name -> bytes of all but journals, hidden files too."""
    found = (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".jsonl")
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


def records(output, name="unfold-journal.jsonl"):
    return [json.loads(line) for line in (output / name).read_text().splitlines()]


def lines(output):
    journal = output / "unfold-journal.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def done(output, name="unfold-journal.jsonl"):
    return [r["target"] for r in records(output, name) if r["status"] == "done"]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scale")
    source = photos(folder / "in")
    assert restore(source, folder / "out") == 0
    return source, folder / "out"


def test_the_journal_tells_all(unbroken):
    _, output = unbroken
    run, *rest = records(output)
    assert run["settings"]["model"]["kind"] == "jude-classic"
    assert len(done(output)) == len(set(done(output))) == COUNT
    for record in rest:
        assert hashlib.sha256(Path(record["source"]).read_bytes()).hexdigest() == record["sha256"]
        made = (output / record["target"]).read_bytes()
        assert hashlib.sha256(made).hexdigest() == record["output_sha256"]
        assert record["seconds"] > 0


@pytest.mark.slow
def test_killed_at_random_moments(unbroken, tmp_path):
    source, whole = unbroken
    rng = random.Random(time.time_ns())
    output = tmp_path / "out"
    killed = 0
    for _ in range(KILLS):
        process = apart(lambda: restore(source, output))
        goal = lines(output) + rng.randrange(1, 8)
        while process.is_alive() and lines(output) < goal:
            time.sleep(0.0005)
        time.sleep(rng.random() * 0.01)
        process.kill()
        process.join()
        killed += process.exitcode == -9
        # What is to be seen is whole at any moment.
        for name, data in files(output).items() if output.is_dir() else ():
            if not Path(name).name.startswith("."):
                assert data == files(whole)[name]
    assert killed
    assert restore(source, output) == 0
    assert files(output) == files(whole)
    assert sorted(done(output)) == sorted(done(whole))  # each once: nothing was restored twice


def test_a_second_run_restores_nothing(unbroken, tmp_path, capsys):
    source, output = photos(tmp_path / "in", 4), tmp_path / "out"
    assert restore(source, output) == 0
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.*g")}
    assert restore(source, output) == 0
    assert "4 done before" in capsys.readouterr().out
    os.utime(source / "00.png", ns=(1, 1))  # touched, but the same
    changed = source / "deep" / "er" / "01.jpg"
    write(changed, Photo(1 - read(changed).image))
    (output / "02.tif").unlink()
    assert restore(source, output) == 0
    assert "2 of 4 restored" in (told := capsys.readouterr().out)
    assert "2 done before" in told
    assert {p for p, t in before.items() if p.stat().st_mtime_ns != t} == {
        output / "deep" / "er" / "01.jpg"
    }
    assert restore(source, output, "--set", "K=1") == 0  # another model
    assert "4 of 4 restored" in capsys.readouterr().out


def test_shards_are_a_partition(unbroken, tmp_path, capsys):
    source, whole = unbroken
    output, names = tmp_path / "out", []
    for i in (1, 2, 3):
        assert restore(source, output, "--shard", f"{i}/3") == 0
        names.append(f"unfold-journal-{i}-of-3.jsonl")
    shares = [done(output, name) for name in names]
    assert all(shares)
    assert sorted(target for share in shares for target in share) == sorted(done(whole))
    assert files(output) == files(whole)
    for i, share in enumerate(shares):  # by content: wherever a photo lies
        for target in share:
            digest = hashlib.sha256((source / target).read_bytes()).hexdigest()
            assert int(digest, 16) % 3 == i
    merged = output / "unfold-journal.jsonl"
    journals = [str(output / name) for name in names]
    assert main(["journal", "merge", *journals, "--output", str(merged)]) == 0
    assert {r["status"] for r in read_journal(merged).values()} == {"done"}
    capsys.readouterr()
    assert restore(source, output) == 0  # what the shards did is known from the merged journal
    assert f"{COUNT} done before" in capsys.readouterr().out


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "1/0"])
def test_what_is_no_shard(unbroken, tmp_path, shard):
    with pytest.raises(SystemExit):
        restore(unbroken[0], tmp_path / "out", "--shard", shard)
    assert not (tmp_path / "out").exists()


def png(width, height, body=b"x"):
    return png_file(width, height, 8, 2, body)


def hostile(folder, good, count):
    """So many bad files of many kinds; the number that a run must tell of."""
    rng = random.Random(0)
    data = good.read_bytes()
    bomb = png(30_000, 30_000, bytes(10_000_000))
    nan = io_tiff(np.full((4, 4), np.nan, np.float32))
    kinds = [
        lambda: data[: rng.randrange(8, len(data) - 20)],
        lambda: b"",
        lambda: b"GIF89a" + data,
        lambda: b"not a picture at all",
        lambda: bomb,
        lambda: png(2**31 - 1, 2**31 - 1),
        lambda: png(0, 7),
        lambda: nan,
        lambda: data[:40] + rng.randbytes(len(data) - 40),
        lambda: rng.randbytes(300),
    ]
    names = ["bad {}", "new\nline {}", "ünïcode {} 日本", "'quote\" {}", "-dash {}", "bell\a{}"]
    told = 0
    for i in range(count):
        suffix = (".png", ".jpg", ".tif", ".PNG")[i % 4]
        path = folder / f"d{i % 7}" / (names[i % len(names)].format(i) + suffix)
        path.parent.mkdir(exist_ok=True)
        if i % 50 == 49:
            path.symlink_to(folder / f"nowhere {i}.png")
        elif i % 50 == 48:
            path.symlink_to(path.name)  # to itself
        else:
            path.write_bytes(kinds[i % len(kinds)]())
            if i % 60 == 7 and os.geteuid():
                path.chmod(0)
        told += 1
    (folder / "loop").symlink_to(folder)
    return told


def io_tiff(array):
    import io

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "TIFF")
    return buffer.getvalue()


def test_hostile_files(unbroken, tmp_path, capsys):
    _, whole = unbroken
    folder, output = photos(tmp_path / "in", 20), tmp_path / "out"
    bad = hostile(folder, folder / "00.png", 1000)
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert restore(folder, output, "--max-pixels", 50_000_000) == 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 600e6
    last = read_journal(output / "unfold-journal.jsonl")
    good = {t for t, r in last.items() if r["status"] == "done"}
    assert good == {t for t in done(whole) if int(Path(t).stem) < 20}
    assert {name: files(output)[name] for name in good} == {n: files(whole)[n] for n in good}
    failed = [r for r in last.values() if r["status"] == "failed"]
    assert len(failed) == bad
    assert all(r["error"] and "\n" not in r["error"] for r in failed)
    assert set(files(output)) == good


def test_a_photo_that_changes_while_it_is_read(tmp_path, monkeypatch, capsys):
    folder = photos(tmp_path / "in", 2)
    real = os.fstat

    def changing(descriptor):
        status = real(descriptor)
        with contextlib.suppress(OSError):
            name = os.readlink(f"/proc/self/fd/{descriptor}")
            if name.endswith("00.png"):
                os.utime(name, ns=(time.time_ns(), time.time_ns()))
        return status

    monkeypatch.setattr(os, "fstat", changing)
    assert restore(folder, tmp_path / "out") == 1
    assert "00.png: the file was changed while it was read; try again" in capsys.readouterr().err
    assert len(done(tmp_path / "out")) == 1
