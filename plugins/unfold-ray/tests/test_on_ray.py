"""A folder restored by two workers of Ray, one of which is killed."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from unfold.cli import main
from unfold.imaging import Photo, write

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # (as the engine does, read on import)
ray = pytest.importorskip("ray", reason="Ray is not installed: uv run --all-packages pytest")
pytest.importorskip("ray.data")

COUNT = 24


def photos(folder):
    """Pictures of unlike sizes, in folders below each other."""
    torch.manual_seed(0)
    for i in range(COUNT):
        path = folder / ("deep/er" if i % 2 else "") / f"{i:02d}.{('png', 'jpg', 'tif')[i % 3]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, Photo(torch.rand(3, 30 + i, 40 + i)))
    return folder


def restore(folder, output, *more):
    model = ["--model", "jude-classic", "--set", "K=20", "--set", "kernel_estimator=point"]
    paths = [str(folder), "--output", str(output)]
    return main(["restore", *paths, *model, "--device", "cpu", *map(str, more)])


def files(folder):
    """Name -> bytes of all but journals, hidden files too."""
    found = (p for p in folder.rglob("*") if p.is_file() and p.suffix != ".jsonl")
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


def done(output):
    lines = (output / "unfold-journal.jsonl").read_text().splitlines()
    return [r["target"] for r in map(json.loads, lines) if r["status"] == "done"]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def kill_a_worker(output, killed):
    """As soon as a few photos are done: the process of a worker, which its journal's lock tells."""
    pictures = {".png", ".jpg", ".tif"}
    while not killed:
        for path in output.glob("unfold-journal-chunk-*.jsonl"):
            inode = path.stat().st_ino
            for line in Path("/proc/locks").read_text().splitlines():
                words = line.split()
                written = sum(p.suffix in pictures for p in output.rglob("*"))
                if words[5].endswith(f":{inode}") and written > 2:
                    os.kill(int(words[4]), signal.SIGKILL)
                    killed.append(int(words[4]))
                    return
        time.sleep(0.002)


def test_two_workers_and_one_is_killed(tmp_path, capsys):
    source = photos(tmp_path / "in")
    (source / "bad.png").write_bytes(b"not a picture")
    assert restore(source, tmp_path / "alone") == 1
    killed = []
    output = tmp_path / "out"
    killer = threading.Thread(target=kill_a_worker, args=(output, killed), daemon=True)
    killer.start()
    capsys.readouterr()
    assert restore(source, output, "--engine", "ray", "--workers", 2) == 1
    told = capsys.readouterr()
    assert killed
    assert f"{COUNT} of {COUNT + 1} restored" in told.out
    assert "bad.png: not a PNG, JPEG or TIFF file" in told.err
    assert files(output) == files(tmp_path / "alone")
    assert sorted(done(output)) == sorted(done(tmp_path / "alone"))  # each once
    assert not list(output.glob("unfold-journal-chunk-*"))
    assert restore(source, output, "--engine", "ray") == 1
    assert f"{COUNT} done before" in capsys.readouterr().out
