"""Peak memory of a call."""

from __future__ import annotations

import json
import os
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def peak_memory(run: Callable[[], Any], device: torch.device, *, python: bool = False) -> int:
    """Peak memory of a call in bytes, in addition to the memory used before the call.

    On a GPU it is counted by torch's allocator. On the CPU it is the running sum of the allocations
    and deallocations that the profiler records, including temporary buffers of operators. Memory
    that other libraries allocate (oneDNN, Pillow, C code of a plugin) is not counted.

    Args:
        run: the call.
        device: the device on which it runs.
        python: whether the peak memory of Python's and NumPy's allocators is added, for work on
            files. The two peaks may occur at different times, so the sum is an upper bound.

    Example:
        >>> import torch
        >>> from unfold.benchmarking import peak_memory
        >>> peak_memory(lambda: torch.zeros(256, 256).add(1), torch.device("cpu")) // 256**2
        8
    """
    if python:
        run()  # what is imported at the first call is not the call's
        tracemalloc.start()
        try:
            run()
            held = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        return held + peak_memory(run, device)
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    return _peak(_allocations(run))


def _allocations(run: Callable[[], Any]) -> list[tuple[int, int]]:
    """Address and size of each allocation, and of each deallocation with a negative size, in
    order."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler greets on stderr
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        run()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "trace.json")
        profile.export_chrome_trace(str(file))
        trace = json.loads(file.read_text(encoding="utf-8", errors="replace"))
    events = [event for event in trace["traceEvents"] if event["name"] == "[memory]"]
    events.sort(key=lambda event: event["ts"])
    return [(event["args"]["Addr"], event["args"]["Bytes"]) for event in events]


def _peak(changes: list[tuple[int, int]]) -> int:
    held: dict[int, int] = {}
    total = most = 0
    for address, change in changes:
        if change > 0:
            held[address] = change
        else:  # what was there before the call does not count when it goes
            change = -held.pop(address, 0)
        total += change
        most = max(most, total)
    return most
