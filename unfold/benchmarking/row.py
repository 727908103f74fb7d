"""The result of a case: its measurements, or the reason why there are none."""

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
    """The result of a case.

    Attributes:
        group, name, size, provider: those of the case; ``size`` is text, and empty if the case has
            none.
        device: the device on which it ran.
        status: ``"ok"``, ``"skipped"`` (it cannot be measured on this machine) or ``"failed"``.
        reason: why it was not measured, in one line; empty if it was measured.
        seconds: time of a call, the minimum over the rounds.
        bound_seconds: time of the bound or baseline, the minimum over the rounds.
        ratio: ``seconds`` divided by ``bound_seconds``.
        against: description of the bound or baseline.
        rounds: number of rounds.
        memory: peak memory of a call in bytes (see `peak_memory`).
        baseline_memory: peak memory of a call of the baseline in bytes, not scaled.

    Example:
        >>> from unfold.benchmarking import BenchmarkRow
        >>> row = BenchmarkRow("models", "jude", "256×256", "", "cpu", "skipped", "no kernel")
        >>> row.reason or f"{row.ratio:.2f} times the bound"
        'no kernel'
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
    """Measure a case. An error in the case is stated in the row.

    Args:
        case: the case.
        device: the device on which it runs.
        rounds: see `compare`.

    Example:
        >>> import torch
        >>> from unfold.benchmarking import Size, cases, measure
        >>> (case,) = cases(["metrics"], [Size(64, 64)], only="mae")
        >>> measure(case, torch.device("cpu"), rounds=1).status
        'ok'
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
    except (Exception, SystemExit) as error:  # code of others may fail in any way
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
    """Peak memory of one of the two calls in bytes; None if it is unknown."""
    with torch.inference_mode():
        return call() if pair.process else peak_memory(call, device, python=case.host)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or "no reason given"
