"""A row: a case, measured; or why it could not be."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from .case import Case, PairedRun, SkippedError
from .memory import peak_memory
from .timing import compare


@dataclass(frozen=True)
class BenchmarkRow:
    """What became of a case.

    Attributes:
        group, name, size, provider: the case's (``size`` as text, empty where there is none).
        device: where it ran.
        status: ``"ok"``; ``"skipped"``: cannot be measured here, nobody is at fault; ``"failed"``.
        reason: why not, in a line; empty if it was.
        seconds: of a call, the least of the rounds.
        bound_seconds: of the bound or baseline, likewise.
        ratio: one by the other.
        against: the bound or baseline in words.
        rounds: how many.
        memory: most bytes held by a call (see `peak_memory`).
        baseline_memory: the same of the baseline's call, not scaled.
    """

    group: str
    name: str
    size: str
    provider: str
    device: str
    status: Literal["ok", "skipped", "failed"] = "ok"
    reason: str = ""
    seconds: float | None = None
    bound_seconds: float | None = None
    ratio: float | None = None
    against: str = ""
    rounds: int = 0
    memory: int | None = None
    baseline_memory: int | None = None


def measure(case: Case, device: torch.device, rounds: int | None = None) -> BenchmarkRow:
    """Measure a case; nothing that goes wrong in it ends the others.

    Args:
        case: what to measure.
        device: where.
        rounds: see `compare`.
    """
    head = (case.group, case.name, str(case.size or ""), case.provider, str(device))
    try:
        pair = case.prepare(device)
        memory, took = [], []
        for call in (pair.run, pair.baseline):  # (and the first call of each)
            begin = time.perf_counter()
            memory.append(call_memory(call, pair, case, device))
            took.append(time.perf_counter() - begin)
        times = compare(pair, device, rounds, (took[0], took[1]))
    except SkippedError as error:
        return BenchmarkRow(*head, "skipped", _line(error))
    except (Exception, SystemExit) as error:  # a stranger's code: it may fail in any way
        return BenchmarkRow(*head, "failed", f"{type(error).__name__}: {_line(error)}")
    return BenchmarkRow(
        *head,
        seconds=times.seconds,
        bound_seconds=times.bound,
        ratio=times.ratio,
        against=pair.against,
        rounds=times.rounds,
        memory=memory[0],
        baseline_memory=memory[1],
    )


def call_memory(
    call: Callable[[], Any], pair: PairedRun, case: Case, device: torch.device
) -> int | None:
    """The most memory that one of the pair's calls holds, in bytes; None where nobody tells it."""
    with torch.inference_mode():
        return call() if pair.process else peak_memory(call, device, python=case.host)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or "no reason given"
