"""Full disks, two runs on one folder, files of others, files that vanish: what each command does.

(Of `unfold train`: tests/training/test_resume.py and test_refusals.py.)
"""

import subprocess
import sys

import numpy as np
import pytest
import torch

from unfold.cli import main
from unfold.imaging import Photo, read, write

resource = pytest.importorskip("resource", reason="no quotas on this system")
TAKE = (
    "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX); "
    "print('taken', flush=True); sys.stdin.read()"
)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        noise = torch.rand(3, 48, 48, generator=torch.Generator().manual_seed(number))
        write(folder / f"{number}.png", Photo(noise))
    for half in ("input", "target"):
        (tmp_path / "pairs" / half).mkdir(parents=True)
        write(tmp_path / "pairs" / half / "0.png", read(folder / "0.png"))
    return folder


def command(name, photos, out):
    one, pairs = str(photos / "0.png"), photos.parent / "pairs"
    return {
        "restore": ["restore", str(photos), "-o", str(out), "--model", "identity"],
        "restore one": ["restore", one, "-o", str(out / "0.png"), "--model", "identity"],
        "synthesize": ["synthesize", str(photos), "-o", str(out), "--recipe", "deblur",
                       "--count", "2", "--workers", "1"],
        "evaluate": ["evaluate", "--model", "identity", "--dataset", "paired", "--data", str(pairs),
                     "--protocol", "gopro", "--save-images", str(out),
                     "-o", f"{out}.json", "-o", f"{out}.html"],
        "trace": ["trace", one, "-o", str(out), "--model", "identity"],
        "kernel": ["kernel", one, "-o", str(out / "k.npy"), "--picture", str(out / "k.png")],
    }[name]  # fmt: skip


COMMANDS = ("restore", "restore one", "synthesize", "evaluate", "trace", "kernel")


@pytest.fixture
def full(monkeypatch):
    """Sets the size above which no file grows."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # (modules would be cut short, too)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [60, 3000])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_told_and_nothing_is_half_written(name, size, photos, full, capsys):
    out = photos.parent / "out"
    if name in ("restore one", "kernel"):
        out.mkdir()
    full(size)
    status = main(command(name, photos, out))
    full(resource.RLIM_INFINITY)
    said = capsys.readouterr()
    small = name == "kernel" and size == 3000  # what it writes has room
    assert status == 0 if small else status in (1, 2)
    assert small or "File too large" in said.err or "No space left" in said.err
    assert "Traceback" not in said.err
    for file in photos.parent.rglob("out*"):
        for inside in (file, *file.rglob("*")):
            if inside.is_file():
                assert not inside.name.endswith(".tmp")
                if inside.suffix == ".png":
                    read(inside)
                elif inside.suffix == ".npy":
                    np.load(inside)
                elif inside.suffix not in (".jsonl", "") and not inside.name.startswith("."):
                    raise AssertionError(f"{inside} has no room")
    # With room again it does all of it.
    assert main(command(name, photos, out)) == 0


@pytest.mark.parametrize(
    ("name", "file"),
    [("restore", "unfold-journal.jsonl"), ("synthesize", ".lock"), ("trace", ".unfold-trace")],
)
def test_of_two_runs_on_one_folder_the_second_is_refused(name, file, photos, capsys):
    out = photos.parent / "out"
    assert main(command(name, photos, out)) == 0
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    with subprocess.Popen(
        [sys.executable, "-c", TAKE, str(out / file)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout.readline() == "taken\n"
        capsys.readouterr()
        assert main(command(name, photos, out)) == 2
        assert f"process {other.pid} " in capsys.readouterr().err
        other.stdin.close()
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_a_trace_replaces_no_files_of_others(photos, capsys):
    page = photos / "index.html"
    page.write_text("mine")
    assert main(command("trace", photos, photos)) == 2
    assert "holds other files" in capsys.readouterr().err
    assert sorted(p.name for p in photos.iterdir()) == ["0.png", "1.png", "index.html"]
    assert page.read_text() == "mine"


def test_a_kernels_picture_never_replaces_the_photo(photos, capsys):
    photo = photos / "0.png"
    before = photo.read_bytes()
    out = ["-o", str(photos / "k.npy"), "--picture", f"{photos}/../photos/0.png"]
    assert main(["kernel", str(photo), *out]) == 2
    assert "is the photo itself" in capsys.readouterr().err
    assert photo.read_bytes() == before
    assert not (photos / "k.npy").exists()


def test_a_photo_that_vanishes_is_told_and_the_others_go_on(photos, monkeypatch, capsys):
    from unfold.restoration import batch

    contents = batch.contents

    def vanishing(path):
        (photos / "0.png").unlink(missing_ok=True)
        return contents(path)

    monkeypatch.setattr(batch, "contents", vanishing)
    out = photos.parent / "out"
    assert main(command("restore", photos, out)) == 1
    said = capsys.readouterr()
    assert "0.png" in said.err
    assert "No such file" in said.err
    assert [p.name for p in out.glob("*.png")] == ["1.png"]
