"""Cases tried out in a process of their own, which may hang, die and be started anew."""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 60.0  # seconds for a case, on a machine that may be busy
START = 600.0
HELPERS = Path(__file__).parents[1]


@dataclass
class Findings:
    """What became of the cases of a kind.

    Attributes:
        count: outcome -> cases.
        errors: number of the case -> what went wrong.
        slowest, largest: seconds and megabytes of a case, and its number.
    """

    count: Counter[str] = field(default_factory=Counter)
    errors: dict[int, str] = field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, -1)
    largest: tuple[float, int] = (0.0, -1)

    def add(self, number: int, answer: dict) -> None:
        """Count one more."""
        self.count[answer["outcome"]] += 1
        if answer["outcome"] == "error":
            self.errors[number] = answer["detail"]
        self.slowest = max(self.slowest, (answer.get("seconds", 0.0), number))
        self.largest = max(self.largest, (answer.get("megabytes", 0.0), number))

    def __str__(self) -> str:
        counts = ", ".join(f"{self.count[name]} {name}" for name in ("works", "refused", "error"))
        return (
            f"{sum(self.count.values())} cases: {counts}; slowest {self.slowest[0]:.2f} s "
            f"(number {self.slowest[1]}), largest {self.largest[0]:.0f} MB ({self.largest[1]})"
        )


class Child:
    """The process that tries cases; started when it is needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (as long as this lives)

    def ask(self, kind: str, number: int, patience: float = PATIENCE) -> dict:
        """What becomes of a case; the process's end, or its silence, is an error of the case."""
        process = self.start()
        assert process.stdin is not None
        process.stdin.write(f"{kind} {number}\n".encode())
        process.stdin.flush()
        line = self._line(patience)
        if line is None:
            self.stop()
            return {"outcome": "error", "detail": f"no answer in {patience:g} s"}
        if not line:
            detail = f"the process ended with status {process.wait()}\n{self._said()}"
            self.stop()
            return {"outcome": "error", "detail": detail}
        return json.loads(line)

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def start(self) -> subprocess.Popen[bytes]:
        """The process, started if there is none."""
        if self._process is None:
            paths = [str(HELPERS), *sys.path]
            environment = os.environ | {
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                "OMP_NUM_THREADS": "1",
                # (Else what was freed stays with the process, and is no case's any more.)
                "MALLOC_TRIM_THRESHOLD_": "1000000",
                "MALLOC_MMAP_THRESHOLD_": "1000000",
            }
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fuzzing.child"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
                env=environment,
            )  # fmt: skip
            if self._line(START) != b"ready\n":
                self.stop()
                raise RuntimeError(f"the process that tries cases does not start\n{self._said()}")
        return self._process

    def _said(self) -> str:
        """The end of what the process wrote to its standard error stream."""
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - 2000))
        return self._errors.read().decode(errors="replace")

    def _line(self, patience: float) -> bytes | None:
        """The next line; None if there is none in time, empty at the end."""
        assert self._process is not None
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(patience):
                return None
        return self._process.stdout.readline()


@contextlib.contextmanager
def child():
    """A `Child`, ended at the end."""
    made = Child()
    try:
        yield made
    finally:
        made.stop()


def fuzz(
    asked: Child, kind: str, first: int, *, seconds: float = math.inf, cases: int | None = None
) -> Findings:
    """Try the cases of a kind from number ``first`` on: so many, or for so many seconds."""
    asked.start()
    findings, end, number = Findings(), time.monotonic() + seconds, first
    while number < first + cases if cases else time.monotonic() < end:
        findings.add(number, asked.ask(kind, number))
        number += 1
    return findings
