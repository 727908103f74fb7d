"""Cases of the time to start, measured as processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

import torch

from .case import Case, PairedRun, Size

IMPORT = "import unfold, torch"
LIST = """
import sys
from unfold.cli import main
main(["list"])
assert "torch" not in sys.modules, "listing imported torch"
"""
# (Not the rusage that waiting for it gives: that counts the process which started it, too.)
_TELL_MEMORY = """
import re
try:
    with open("/proc/self/status") as file:
        print(*re.findall(r"VmHWM:\\s*(\\d+) kB", file.read()))
except OSError:
    print()
"""


def startup_cases(size: Size) -> Iterator[Case]:
    """``import unfold`` and torch, compared with ``import torch``; and ``unfold list``, which must
    not import torch, compared with the start of Python."""
    pairs = {
        "import unfold": (IMPORT, "import torch", "import torch"),
        "unfold list": (LIST, "pass", "starting Python"),
    }
    for name, (code, baseline, against) in pairs.items():
        prepare = partial(_pair, python(code), python(baseline), against)
        yield Case("startup", name, None, prepare, host=True)


def _pair(
    run: Callable[[], int | None],
    baseline: Callable[[], int | None],
    against: str,
    device: torch.device,
) -> PairedRun:
    return PairedRun(run, baseline, against, process=True)


def python(code: str) -> Callable[[], int | None]:
    """Run code in a new Python process; returns its peak memory in bytes (on Linux).

    Raises:
        RuntimeError: if the code fails; the message is its last line.
    """
    command = [sys.executable, "-c", code + _TELL_MEMORY]

    def run() -> int | None:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if done.returncode:
            lines = done.stderr.splitlines() or ["it said nothing"]
            raise RuntimeError(f"a Python process failed: {lines[-1]}")
        reported = done.stdout.splitlines()[-1]
        return 1024 * int(reported) if reported else None

    return run
