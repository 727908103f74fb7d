"""A case: something to time, and what to hold it against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from unfold.errors import UnfoldError

from .size import Size


@dataclass(frozen=True)
class PairedRun:
    """Two calls that are timed in turns.

    Attributes:
        run: what is measured.
        baseline: what it is held against.
        against: the bound or baseline in words.
        share: how many times the baseline the bound is (a convolution's time, scaled to a
            network's arithmetic, say); 1 for a plain baseline.
        process: both start a process, and return the most memory it held in bytes (see
            `unfold.benchmarking.startup`).
    """

    run: Callable[[], Any]
    baseline: Callable[[], Any]
    against: str
    share: float = 1.0
    process: bool = False


@dataclass(frozen=True)
class Case:
    """One row of a table, not yet measured.

    Attributes:
        group: one of `unfold.benchmarking.GROUPS`, or ``"swap"``.
        name: what is measured.
        size: of its pictures; None where there are none.
        prepare: makes the pair on a device. Whatever it raises becomes the row's reason.
        provider: distribution and version that the component is from; empty for our own.
        host: measured on the CPU only (files, processes).
    """

    group: str
    name: str
    size: Size | None
    prepare: Callable[[torch.device], PairedRun]
    provider: str = ""
    host: bool = False

    def __str__(self) -> str:
        return f"{self.group}/{self.name}" + (f"/{self.size}" if self.size else "")


class SkippedError(UnfoldError):
    """A case that cannot be measured here, through no fault; the message says what is missing."""
