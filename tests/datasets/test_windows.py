"""Runs of frames, against a brute-force search."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from layouts import LAYOUTS, lol_blur

from unfold.datasets import Pair, windows
from unfold.datasets.lol import LOLBlur
from unfold.datasets.motion_blur import GoPro


def frame(sequence, number, clip=0):
    return Pair(f"{sequence}/{number:04d}", Path("x.png"), sequence=sequence, clip=clip)


@given(
    frames=st.sets(st.tuples(st.sampled_from("ab"), st.integers(0, 1), st.integers(0, 12))),
    length=st.integers(1, 5),
)
def test_against_a_search_through_all_runs(frames, length):
    """A number occurs in one clip only, as in a real sequence."""
    clips = {(sequence, number): clip for sequence, clip, number in frames}
    pairs = [frame(s, n, clip) for (s, n), clip in sorted(clips.items())]
    want = [
        [(s, n + i) for i in range(length)]
        for s, n in sorted(clips)
        if all(clips.get((s, n + i)) == clips[s, n] for i in range(length))
    ]
    if not pairs:
        return
    got = windows(pairs, length)
    assert [[(p.sequence, int(p.name[2:])) for p in run] for run in got] == want


def test_lol_blur_is_cut_after_30_frames(tmp_path):
    lol_blur(tmp_path, sequences=["0003"])  # numbers 1 to 60 tell nothing of the cut
    dataset = LOLBlur(tmp_path)
    for length, count in ((1, 60), (2, 58), (7, 48), (30, 2), (31, 0)):
        runs = windows(dataset, length)
        assert len(runs) == count
        assert not any({"0003/0030", "0003/0031"} <= {p.name for p in run} for run in runs)
    dataset[10].input.write_bytes(b"")
    rest = windows(LOLBlur(tmp_path, strict=False), 2)
    assert len(rest) == 56
    assert not any("0003/0011" in {p.name for p in run} for run in rest)


def test_gopro_sequences_are_kept_apart(tmp_path):
    LAYOUTS["gopro"](tmp_path)
    runs = windows(GoPro(tmp_path), 3)
    assert [run[0].name for run in runs] == [
        "GOPR0384_11_00/000047", "GOPR0384_11_00/000048", "b c/000047", "b c/000048",
    ]  # fmt: skip
    assert [p.name[-2:] for p in runs[0]] == ["47", "48", "49"]


def test_frames_without_numbers_follow_nothing():
    names = ["s/a", "s/b", "s/x1", "s/y2", "s/y3"]
    pairs = [Pair(name, Path("x"), sequence="s") for name in names]
    assert [[p.name for p in run] for run in windows(pairs, 2)] == [["s/y2", "s/y3"]]


def test_names_need_not_hold_the_sequence():
    pairs = [Pair(f"x{i}", Path("x"), sequence="ab"[i > 2]) for i in (1, 2, 3, 4)]
    assert [[p.name for p in run] for run in windows(pairs, 2)] == [["x1", "x2"], ["x3", "x4"]]


def test_what_makes_no_windows():
    with pytest.raises(ValueError, match="at least 1 frame, got length=0"):
        windows([frame("a", 1)], 0)
    with pytest.raises(ValueError, match="none of the 1 photos is a frame"):
        windows([Pair("a1", Path("x"))], 2)
