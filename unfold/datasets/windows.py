"""Consecutive frames of a video."""

from __future__ import annotations

import re
from collections.abc import Sequence

from unfold.errors import InputError

from .base import Pair

_NUMBERED = re.compile(r"(.*?)([0-9]+)", re.DOTALL)


def windows(pairs: Sequence[Pair], length: int) -> list[tuple[Pair, ...]]:
    """All windows of ``length`` consecutive frames; each starts one frame after the previous one.

    No window crosses the end of a sequence or clip, or a gap in the numbers at the end of the
    frames' names.

    Args:
        pairs: a data set, or some of its pairs in its order.
        length: number of frames in a window, at least 1.

    Raises:
        InputError: if ``length`` is below 1, or the pairs are not frames of a sequence.

    Example:
        >>> from pathlib import Path
        >>> from unfold.datasets import Pair, windows
        >>> frames = [Pair(f"0001/{n:04}", Path(f"{n:04}.png"), sequence="0001") for n in range(4)]
        >>> [[frame.name for frame in window] for window in windows(frames, 3)]
        [['0001/0000', '0001/0001', '0001/0002'], ['0001/0001', '0001/0002', '0001/0003']]
    """
    if length < 1:
        raise InputError(f"a window has at least 1 frame, got length={length}")
    frames = [pair for pair in pairs if pair.sequence]
    if not frames:
        raise InputError(
            f"none of the {len(pairs)} photos is a frame of a sequence; windows are for data sets "
            "of videos, such as lol-blur and gopro"
        )
    runs: list[list[Pair]] = []
    for before, frame in zip([None, *frames], frames, strict=False):
        if before is None or not _follows(frame, before):
            runs.append([])
        runs[-1].append(frame)
    return [tuple(run[i : i + length]) for run in runs for i in range(len(run) - length + 1)]


def _follows(frame: Pair, before: Pair) -> bool:
    if (frame.sequence, frame.clip) != (before.sequence, before.clip):
        return False
    this, last = _NUMBERED.fullmatch(frame.name), _NUMBERED.fullmatch(before.name)
    if this is None or last is None:
        return False
    return this[1] == last[1] and int(this[2]) == int(last[2]) + 1
