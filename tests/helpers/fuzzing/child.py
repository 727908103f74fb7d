"""The process that tries cases: ``python -m fuzzing.child`` answers each line, ``KIND NUMBER``.

A case is made of its kind and number alone, so that it can be made again. Time and memory are
measured for each: what is over a limit is an error even if the case ends well.
"""

from __future__ import annotations

import json
import os
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

SECONDS = 10.0  # of processor time
MEGABYTES = 300
PARAMETERS = 2**26  # that a component may have: their memory must stay within that limit
HARD = 2 << 30  # bytes beyond what the process has at first; then allocation fails


def make(kind: str, number: int) -> Any:
    """The case of that number."""
    return import_module(f"fuzzing.{kind}").make(random.Random(f"{kind} {number}"))


def try_out(kind: str, number: int, folder: Path) -> dict[str, Any]:
    """What becomes of a case: ``works``, ``refused`` or ``error``, and of that what is known."""
    case = make(kind, number)
    _forget_peak()
    before, began = _memory("VmRSS"), time.process_time()
    outcome, detail = "error", ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            worked = import_module(f"fuzzing.{kind}").attempt(case, folder)
        outcome = "works" if worked else "refused"
    except BaseException:
        detail = traceback.format_exc()
    seconds, megabytes = time.process_time() - began, _memory("VmHWM") - before
    if seconds > SECONDS or megabytes > MEGABYTES:
        outcome = "error"
        detail += f"took {seconds:.1f} s and {megabytes:.0f} MB"
    return {"outcome": outcome, "detail": detail, "seconds": seconds, "megabytes": megabytes}


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _memory(name: str) -> float:
    """Of this process, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(name)


def main() -> None:
    """Answer cases until there are no more."""
    answers = os.fdopen(os.dup(1), "w")  # (what libraries print must not come in between)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    from unfold.core import size
    from unfold.models import weights  # noqa: F401  (so that imports are no case's)
    from unfold.registry.catalog import one_scan

    size.LARGEST = PARAMETERS
    limit = int(_memory("VmSize") * (1 << 20)) + HARD
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # (What is installed is read once: that takes as long as twenty cases.)
    with tempfile.TemporaryDirectory() as folder, one_scan():
        os.chdir(folder)
        print("ready", file=answers, flush=True)
        for line in sys.stdin:
            kind, number = line.split()
            place = Path(folder, kind)
            place.mkdir(exist_ok=True)
            print(json.dumps(try_out(kind, int(number), place)), file=answers, flush=True)


if __name__ == "__main__":
    main()
