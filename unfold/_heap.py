"""Memory that a process keeps between two uses."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of <malloc.h>


def keep_heap() -> None:
    """Have this process keep the memory that it frees, for its next tensor of that size.

    The allocator of Linux (glibc) gives every freed image back to the system, and each new one is
    mapped and zeroed page by page: a quarter of the time of a small restoration on a CPU. The
    peak stays what it was. It is for programs, the command line say, not for libraries: it holds
    for all of the process. Where the allocator is another, nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_MAX, 0)
        mallopt(_TRIM_THRESHOLD, 2**31 - 1)
