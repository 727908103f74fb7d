"""Data sets written: the same files for any number of workers, whatever kills the run."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from skimage.data import astronaut, coffee
from tiny_training import apart

from unfold.imaging import ImageError, Photo, read, write
from unfold.synthesis import (
    ManifestError,
    Pipeline,
    RecipeError,
    Synthesis,
    contact_sheet,
    find_scenes,
    parse_recipe,
    read_manifest,
)
from unfold.synthesis.pipeline import from_json

RECIPE = {
    "size": [48, 64],
    "steps": [
        {"degradation": {"kind": "camera-shake", "extent": [2, 4]}, "saves": "blur"},
        {"degradation": "clipping-reverse"},
        {"degradation": "gaussian-noise", "saves": "noisy"},
    ],
    "files": {
        "{split}/blur/{sequence}/{frame}.png": "noisy",
        "{split}/sharp/{sequence}/{frame}.png": "sharp",
    },
    "input": "noisy",
}


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, picture in (("a", astronaut()), ("b", coffee())):
        image = torch.from_numpy(picture[100:220, 100:260]).permute(2, 0, 1) / 255
        write(folder / f"{name}.png", Photo(image))
    return folder


# The same, but every other photo is not shaken.
SOMETIMES = {**RECIPE, "steps": [{**RECIPE["steps"][0], "probability": 0.5}, *RECIPE["steps"][1:]]}


def synthesis(photos, output, count=6, recipe=RECIPE, **change):
    return Synthesis(photos, output, parse_recipe(recipe), count, **{"seed": 3, **change})


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_the_files_do_not_depend_on_the_workers(photos, tmp_path):
    for workers in (1, 2):  # two begin in processes of their own
        made = list(synthesis(photos, tmp_path / str(workers), recipe=SOMETIMES).run(workers))
        assert sorted(m.index for m in made) == list(range(6))
        assert not any(m.error for m in made)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    other = synthesis(photos, tmp_path / "other", recipe=SOMETIMES, seed=4)
    list(other.run())
    assert contents(tmp_path / "1").keys() == contents(tmp_path / "other").keys()
    name = "train/blur/0000/0000.png"
    assert contents(tmp_path / "1")[name] != contents(tmp_path / "other")[name]


def test_the_manifest_tells_all_that_a_picture_is_made_of(photos, tmp_path):
    list(synthesis(photos, tmp_path / "out").run())
    run, lines = read_manifest(tmp_path / "out")
    assert run["seed"] == 3
    assert parse_recipe(run["recipe"]) == parse_recipe(RECIPE)
    line = lines[3]
    assert line["source"] == "b.png"  # the fourth is the second photo's second
    assert set(line["files"]) == {"train/blur/0001/0001.png", "train/sharp/0001/0001.png"}
    sharp = read(tmp_path / "out" / "train/sharp/0001/0001.png").image[None]
    made = Pipeline(parse_recipe(run["recipe"])).make({"sharp": sharp}, from_json(line["steps"]))
    there = read(tmp_path / "out" / "train/blur/0001/0001.png").image
    # (The sharp file is rounded to 8 bits, the picture that was degraded is not.)
    assert (made["noisy"][0].clamp(0, 1) - there).abs().max() < 4 / 255


def test_a_step_with_a_probability_is_made_again_from_the_manifest(photos, tmp_path):
    list(synthesis(photos, tmp_path / "out", recipe=SOMETIMES).run())
    run, lines = read_manifest(tmp_path / "out")
    assert {line["steps"][0]["applied"] for line in lines.values()} == {True, False}
    pipeline = Pipeline(parse_recipe(run["recipe"]))
    for line in lines.values():
        files = {name: read(tmp_path / "out" / path).image for path, name in line["files"].items()}
        made = pipeline.make({"sharp": files["sharp"][None]}, from_json(line["steps"]))
        assert (made["noisy"][0].clamp(0, 1) - files["noisy"]).abs().max() < 4 / 255


def test_a_run_goes_on_and_may_be_extended(photos, tmp_path):
    list(synthesis(photos, tmp_path / "whole").run())
    out = tmp_path / "parts"
    for made in synthesis(photos, out, count=4).run():
        if made.index == 1:
            break  # as Ctrl-C would
    list(synthesis(photos, out, count=4).run())
    (out / "train/blur/0000/0000.png").unlink()
    with (out / "manifest.jsonl").open("a") as file:
        file.write('{"index": 4, "fi')  # the power went
    list(synthesis(photos, out, count=6).run())
    assert contents(out) == contents(tmp_path / "whole")


def test_killed_at_any_moment_it_goes_on_bit_for_bit(photos, tmp_path):
    list(synthesis(photos, tmp_path / "whole", count=40).run())
    out = tmp_path / "killed"
    process = apart(lambda: list(synthesis(photos, out, count=40).run()) and None)
    while process.is_alive() and len(list(out.glob("train/blur/*/*.png"))) < 5:
        time.sleep(0.002)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, "the run was over before it could be killed"
    assert 4 <= len(read_manifest(out)[1]) < 40
    list(synthesis(photos, out, count=40).run())
    for leftover in out.rglob(".*.tmp"):
        leftover.unlink()
    assert contents(out) == contents(tmp_path / "whole")


def test_bad_photos_do_not_stop_the_run(photos, tmp_path):
    (photos / "c.png").write_bytes((photos / "a.png").read_bytes()[:2000])
    write(photos / "d.png", Photo(torch.rand(3, 1, 1)))
    (photos / "e.jpg").write_text("text")
    os.symlink(photos, photos / "loop")
    made = {m.source: m.error for m in synthesis(photos, tmp_path / "out", count=5).run()}
    assert [bool(made[f"{n}"]) for n in ("a.png", "b.png", "c.png", "d.png", "e.jpg")] == [
        False, False, True, False, True,
    ]  # fmt: skip
    assert made["c.png"].startswith("c.png: ")
    assert sorted(read_manifest(tmp_path / "out")[1]) == [0, 1, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"seed": 9}, "seed 3 there, 9 here"), ({"split": "test"}, "split train there, test here")],
)
def test_another_run_is_refused(photos, tmp_path, change, message):
    list(synthesis(photos, tmp_path / "out", count=1).run())
    before = contents(tmp_path / "out")
    with pytest.raises(ManifestError, match=message):
        list(synthesis(photos, tmp_path / "out", **change).run())
    write(photos / "c.png", Photo(torch.rand(3, 9, 9)))
    with pytest.raises(ManifestError, match="scenes 2 there, 3 here"):
        list(synthesis(photos, tmp_path / "out").run())
    assert contents(tmp_path / "out") == before


def test_other_files_are_not_written_among(photos, tmp_path):
    with pytest.raises(ManifestError, match="holds other files; choose a new folder"):
        list(synthesis(photos, photos).run())
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "manifest.jsonl").write_text("[]\n")
    with pytest.raises(ManifestError, match="does not begin with a run"):
        list(synthesis(photos, tmp_path / "odd").run())
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="no photos"):
        list(synthesis(tmp_path / "empty", tmp_path / "out").run())
    assert not (tmp_path / "out").exists()


def test_frames_make_scenes_and_disparities_are_found(tmp_path):
    for name in ("v/f1", "v/f2", "v/f3", "v/f5", "v/f6", "v/f7", "v/f8", "w/f4", "w/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / f"{name}.png", Photo(torch.rand(3, 4, 4)))
    write(tmp_path / "w" / "x.disparity.png", Photo(torch.rand(3, 4, 4)))
    assert [s.name for s in find_scenes(tmp_path, 3)] == ["v/f2.png", "v/f6.png"]
    assert find_scenes(tmp_path, 3)[0].read()["sharp"].shape == (3, 3, 4, 4)
    single = {s.name: s for s in find_scenes(tmp_path)}
    assert len(single) == 9
    assert single["w/x.png"].read({"disparity"})["disparity"].shape == (1, 4, 4)
    assert "disparity" not in single["w/f4.png"].read({"disparity"})
    assert "disparity" not in single["w/x.png"].read()  # what no step wants is not read
    with pytest.raises(ImageError, match="no 5 frames with consecutive numbers"):
        find_scenes(tmp_path, 5)


def test_the_contact_sheet_shows_each_picture(photos, tmp_path):
    list(synthesis(photos, tmp_path / "out").run())
    sheet = contact_sheet(tmp_path / "out").image
    # Three columns of 240 pixels (sharp, noisy, noisy without clipping-reverse), six rows of 180.
    assert sheet.shape == (3, 16 + 6 * 184, 3 * 244)
    first = read(tmp_path / "out" / "train/sharp/0000/0000.png").image
    tile = sheet[:, 16:196, :240]
    assert (tile.mean((1, 2)) - first.mean((1, 2))).abs().max() < 0.01


@pytest.mark.parametrize("split", ["", "..", ".", "a/b", "/x", "-x"])
def test_a_split_is_a_plain_name(photos, tmp_path, split):
    with pytest.raises(RecipeError, match="must be a plain name"):
        synthesis(photos, tmp_path / "out", split=split)


def test_an_output_below_the_source_is_no_source(photos):
    first = list(synthesis(photos, photos / "out", count=2).run())
    assert {m.source for m in first} == {"a.png", "b.png"}
    again = list(synthesis(photos, photos / "out", count=4).run())
    assert {m.source for m in again} == {"a.png", "b.png"}


def test_a_source_that_changed_is_another_run(photos, tmp_path):
    list(synthesis(photos, tmp_path / "out", count=1).run())
    write(photos / "b.png", Photo(torch.rand(3, 120, 160)))
    with pytest.raises(ManifestError, match="photos that have changed since"):
        list(synthesis(photos, tmp_path / "out", count=2).run())


def test_damaged_files_and_lines_are_made_again(photos, tmp_path):
    list(synthesis(photos, tmp_path / "whole").run())
    out = tmp_path / "out"
    list(synthesis(photos, out).run())
    damaged = out / "train/blur/0000/0001.png"
    damaged.write_bytes(damaged.read_bytes()[:500])
    with (out / "manifest.jsonl").open("a") as file:
        file.write('{"index": 1}\n')
    list(synthesis(photos, out).run())
    assert contents(out) == contents(tmp_path / "whole")


def test_long_names_and_disparities_of_no_use_harm_nobody(photos, tmp_path):
    (photos / ("a" * 250 + ".png")).write_bytes((photos / "a.png").read_bytes())
    write(photos / "b.disparity.png", Photo(torch.rand(3, 2, 2)))
    assert not any(m.error for m in synthesis(photos, tmp_path / "out", count=3).run())


def test_workers_end_with_their_parent(photos, tmp_path):
    script = (
        "import sys, json; from pathlib import Path\n"
        "from unfold.synthesis import Synthesis, parse_recipe\n"
        "if __name__ == '__main__':\n"
        "    a, b, recipe = sys.argv[1:]\n"
        "    s = Synthesis(Path(a), Path(b), parse_recipe(json.loads(recipe)), 10**6, 3)\n"
        "    for made in s.run(2): pass"
    )
    (tmp_path / "run.py").write_text(script)
    out = tmp_path / "out"
    command = [sys.executable, str(tmp_path / "run.py"), str(photos), str(out), json.dumps(RECIPE)]
    process = subprocess.Popen(command, start_new_session=True)
    while process.poll() is None and not list(out.glob("train/blur/*/*.png")):
        time.sleep(0.05)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:  # the workers are in the session of their parent
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail("the workers outlived their parent")


def test_a_very_flat_photo_does_not_stretch_the_sheet(photos, tmp_path):
    write(photos / "c.png", Photo(torch.rand(3, 1, 2000)))
    list(synthesis(photos, tmp_path / "out", count=3).run())
    assert contact_sheet(tmp_path / "out").image.shape[-1] <= 3 * 544
