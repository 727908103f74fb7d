"""A folder restored by two workers of Ray, one of which is killed."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
from restoration.test_scale import COUNT, done, files, photos, restore

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # (as the engine does, read on import)
ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'unfold-imaging[ray]'")
pytest.importorskip("ray.data")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def kill_a_worker(output, killed):
    """As soon as a few photos are done: the process of a worker, which its ledger's lock tells."""
    while not killed:
        for path in output.glob("unfold-ledger-chunk-*.jsonl"):
            inode = path.stat().st_ino
            for line in Path("/proc/locks").read_text().splitlines():
                words = line.split()
                if words[5].endswith(f":{inode}") and len(files(output)) > 2:
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
    assert not list(output.glob("unfold-ledger-chunk-*"))
    assert restore(source, output, "--engine", "ray") == 1
    assert f"{COUNT} done before" in capsys.readouterr().out
