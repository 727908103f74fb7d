"""Full disks, two runs on one folder, files of others, files that vanish: what each command does.

(Of `unfold train`: tests/training/test_resume.py and test_refusals.py.)
"""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import rights
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
        "kernel": ["kernel", one, "-o", str(out / "k.npy"), "--picture", str(out / "k.png"),
                   "--size", "5"],
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
    [
        ("restore", "unfold-journal.jsonl"),
        ("synthesize", ".unfold-synthesis"),
        ("evaluate", ".unfold-pictures"),
        ("trace", ".unfold-trace"),
    ],
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


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["trace", "evaluate", "synthesize"])
def test_a_folder_with_files_of_others_is_refused(name, photos, capsys):
    out = photos.parent / "out"
    out.mkdir()
    (out / "0.png").write_text("mine")
    before = contents(photos.parent)
    assert main(command(name, photos, out)) == 2
    assert f"{out}: holds other files; choose a new folder" in capsys.readouterr().err
    assert contents(photos.parent) == before
    (out / "0.png").unlink()  # empty, or by an earlier run, it is taken
    for _ in range(2):
        assert main(command(name, photos, out)) == 0


def test_restoring_replaces_no_file_of_others(photos, capsys):
    out = photos.parent / "out"
    out.mkdir()
    (out / "0.png").write_text("mine")
    (out / "notes.txt").write_text("mine, too")
    for more in ([], ["--again"]):
        assert main([*command("restore", photos, out), *more]) == 1
        said = capsys.readouterr()
        refused = f"{photos / '0.png'}: would be written to {out / '0.png'}, but there is a file"
        assert refused in said.err
        assert "move it away, or choose another output" in said.err
        assert (out / "0.png").read_text() == "mine"
        assert read(out / "1.png").image.shape == (3, 48, 48)
    (out / "0.png").unlink()
    assert main(command("restore", photos, out)) == 0


def test_an_output_that_was_changed_since_is_not_replaced(photos, capsys):
    out = photos.parent / "out"
    again = [*command("restore", photos, out), "--again"]
    assert main(again) == main(again) == 0
    write(out / "0.png", Photo(torch.zeros(3, 9, 9)))
    before = (out / "0.png").read_bytes()
    capsys.readouterr()
    assert main(again) == 1
    assert f"{out / '0.png'}: there is a file" in capsys.readouterr().err
    assert (out / "0.png").read_bytes() == before


def test_what_shards_have_written_is_known_to_all_and_after_merging(photos, capsys):
    out = photos.parent / "out"
    restore = command("restore", photos, out)
    assert main([*restore, "--shard", "1/2"]) == main([*restore, "--shard", "2/2"]) == 0
    assert main([*restore, "--again"]) == 0  # with a journal of its own
    one = (photos / "1.png").read_bytes()
    (photos / "1.png").write_bytes(b"damaged")
    assert main([*restore, "--again"]) == 1
    journals = sorted(out.glob("unfold-journal*.jsonl"))
    assert len(journals) == 3
    merged = out / "unfold-journal.jsonl"
    main(["journal", "merge", str(merged), "-o", str(merged)])
    for path in journals[:2]:
        path.unlink()
    (photos / "1.png").write_bytes(one)
    assert journals[2] == merged
    assert main([*restore, "--again"]) == 0


def test_a_file_that_is_named_is_replaced(photos):
    """In full, by the command: it is the user's to give. A source never is."""
    out = photos.parent / "out"
    for name, file in (("restore one", "0.png"), ("kernel", "k.npy"), ("evaluate", "../out.json")):
        out.mkdir(exist_ok=True)
        (out / file).write_text("mine")
        assert main(command(name, photos, out)) == 0
        assert (out / file).read_bytes() != b"mine"
        (out / "0.png").unlink(missing_ok=True)
        for path in out.iterdir():
            path.unlink()
    out.rmdir()  # a folder that is missing is made
    assert main(command("restore one", photos, out)) == 0
    before = contents(photos)
    assert main(command("restore one", photos, photos)) == 1
    assert contents(photos) == before


def test_a_kernels_picture_never_replaces_the_photo(photos, capsys):
    photo = photos / "0.png"
    before = photo.read_bytes()
    out = ["-o", str(photos / "k.npy"), "--picture", f"{photos}/../photos/0.png"]
    assert main(["kernel", str(photo), *out]) == 2
    assert "is the photo itself" in capsys.readouterr().err
    assert photo.read_bytes() == before
    assert not (photos / "k.npy").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_read_only_folder_is_told_and_stays_as_it_is(name, photos, capsys):
    out = photos.parent / "out"
    out.mkdir()
    (out / "0.png").write_text("mine") if name == "restore one" else None
    before = contents(photos.parent)
    out.chmod(0o555)
    with rights.respected():
        assert main(command(name, photos, out)) in (1, 2)
    said = capsys.readouterr().err
    assert str(out) in said
    assert "Permission denied" in said
    assert "Traceback" not in said
    assert contents(photos.parent) == before
    out.chmod(0o755)
    assert main(command(name, photos, out)) == 0


def vanishing(monkeypatch, module, name, doomed, how="removed"):
    """Have a function remove what it is about to need, or its rights."""
    real = getattr(module, name)

    def without(*args, **more):
        if how == "unreadable":
            doomed.chmod(0)
        elif doomed.is_dir():
            shutil.rmtree(doomed)
        else:
            doomed.unlink(missing_ok=True)
        return real(*args, **more)

    monkeypatch.setattr(module, name, without)


@pytest.mark.parametrize(
    ("how", "reason"), [("removed", "No such file"), ("unreadable", "Permission denied")]
)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_photo_that_vanishes_is_told_and_the_others_go_on(
    name, how, reason, photos, monkeypatch, capsys
):
    from unfold.evaluation import runner
    from unfold.restoration import batch
    from unfold.synthesis import writer

    out, doomed = photos.parent / "out", photos / "0.png"
    # Where it is read, after it was found.
    where = {
        "restore": (batch, "contents"),
        "synthesize": (writer.Scene, "read"),
        "evaluate": (runner, "read"),
    }
    if name == "evaluate":
        doomed = photos.parent / "pairs" / "input" / "0.png"
        write(photos.parent / "pairs" / "input" / "1.png", read(photos / "1.png"))
        write(photos.parent / "pairs" / "target" / "1.png", read(photos / "1.png"))
    if name in where:
        module, function = where[name]
        vanishing(monkeypatch, module, function, doomed, how)
    else:
        doomed.unlink() if how == "removed" else doomed.chmod(0)
    with rights.respected():
        status = main(command(name, photos, out))
    said = capsys.readouterr()
    assert "0.png" in said.err
    assert reason in said.err
    assert "Traceback" not in said.err
    if name in where:
        assert status == 1
        assert any("1" in str(file.relative_to(out)) for file in out.rglob("*.png"))
    else:
        assert status == (1 if name == "restore one" else 2)
        assert not out.exists()


@pytest.mark.parametrize("name", ["restore", "synthesize", "evaluate", "trace", "kernel"])
def test_an_output_folder_that_is_removed_is_told_and_not_made_anew(
    name, photos, monkeypatch, capsys
):
    from unfold import trace
    from unfold.estimators import kernel_estimate
    from unfold.evaluation import runner
    from unfold.restoration import batch
    from unfold.synthesis import writer

    out = photos.parent / "out"
    # What comes last before a picture is written.
    module, function = {
        "restore": (batch, "decode"),
        "synthesize": (writer, "fit"),
        "evaluate": (runner, "restore_pair"),
        "trace": (trace, "write"),
        "kernel": (kernel_estimate, "estimate_kernel"),
    }[name]
    if name == "kernel":
        out.mkdir()
    vanishing(monkeypatch, module, function, out)
    status = main(command(name, photos, out))
    said = capsys.readouterr()
    assert status == (1 if name in ("restore", "evaluate") else 2)
    assert str(out) in said.err
    assert "removed during the run" in said.err or "there is no folder" in said.err
    assert name != "synthesize" or "manifest.jsonl: was removed" in said.err  # (it stops)
    assert "Traceback" not in said.err
    assert not out.exists()
    monkeypatch.undo()
    out.mkdir()
    assert main(command(name, photos, out)) == 0
