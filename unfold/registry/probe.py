"""Tests of components in another process, which may hang or crash."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from .catalog import FUNCTIONS, Component, ComponentError


@dataclass(frozen=True)
class Verdict:
    """The result for one component: ``error`` is empty if it works."""

    component: Component
    error: str = ""
    traceback: str = ""


def probe(components: Sequence[Component], *, seconds: float = 30) -> list[Verdict]:
    """Import each component and read its options, one after the other, in a separate process.

    If the process ends or hangs, the current component is broken, and another process continues
    with the next one.

    Args:
        components: the components to test.
        seconds: time limit for each component.
    """
    verdicts = [Verdict(c, c.obstacle) for c in components if c.obstacle]
    pending = [c for c in components if not c.obstacle]
    while pending:
        done, fate = _run(pending, seconds)
        verdicts += [Verdict(c, *result) for c, result in zip(pending, done, strict=False)]
        pending = pending[len(done) :]
        if pending:
            verdicts.append(Verdict(pending[0], fate or "ends the process that imports it"))
            pending = pending[1:]
    return sorted(verdicts, key=lambda v: v.component)


def _run(components: list[Component], seconds: float) -> tuple[list[tuple[str, str]], str]:
    """The output of a process for the components that it reached, and its error if it failed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report")
        names = [f"{c.group}/{c.qualified}" for c in components]
        command = [sys.executable, "-m", __name__, str(report), *names]
        # The first import of torch may take long, and does not count for a component.
        limit = 60 + seconds * len(components)
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        fate = _watch(process, report, seconds, limit)
        lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    results = [json.loads(line) for line in lines if line.startswith("[")]
    return [(error, trace) for error, trace in results], fate


def _watch(process: subprocess.Popen[bytes], report: Path, seconds: float, limit: float) -> str:
    """Wait for the process, and end it if a component exceeds the time limit."""
    waited, seen, since = 0.0, -1, 0.0
    while True:
        try:
            status = process.wait(timeout=0.1)
            return "" if status == 0 else f"ends the process that imports it, with status {status}"
        except subprocess.TimeoutExpired:
            waited += 0.1
        size = report.stat().st_size if report.exists() else 0
        if size != seen:
            seen, since = size, waited
        started = size > 0  # the report begins after the import of torch
        if (started and waited - since > seconds) or waited > limit:
            process.kill()
            process.wait()
            return f"takes more than {seconds:g} s to import"


def _main(report: str, names: Sequence[str]) -> None:
    import_module("unfold.core")  # (so that its time does not count for a component)

    from .kinds import function
    from .spec import spec_type

    with open(report, "w", encoding="utf-8") as out:
        print("ready", file=out, flush=True)
        for name in names:
            group, _, qualified = name.partition("/")
            try:
                (function if group in FUNCTIONS else spec_type)(group, qualified)
                result = ("", "")
            except ComponentError as error:
                cause = error.__cause__ or error
                result = (str(error), "".join(traceback.format_exception(cause)))
            print(json.dumps(result), file=out, flush=True)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2:])
