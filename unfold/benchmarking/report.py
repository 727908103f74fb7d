"""Results as a table and as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import torch

from unfold._files import replace_file
from unfold.evaluation.markdown import markdown_table
from unfold.evaluation.provenance import environment

from .row import BenchmarkRow

_HEAD = (
    "group", "what", "size", "time", "÷", "bound or baseline", "memory", "÷ its memory", "rounds",
)  # fmt: skip
_REASON = 160  # characters of a reason that are printed; the JSON has all


def machine(device: torch.device) -> dict[str, Any]:
    """Versions, machine and date. ``load`` is the mean number of processes that needed one of the
    ``cores`` in the last minute: load increases times, and affects ratios less."""
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    return {
        **environment(device),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": load,
    }


def text(rows: Sequence[BenchmarkRow], facts: dict[str, Any]) -> str:
    """A Markdown table with aligned columns, after a line about the machine."""
    threads = f"{facts['threads']} thread{'s' * (facts['threads'] != 1)}"
    where = f"{facts['processor']}, {threads} of {facts['cores']} cores"
    if not facts["device"].startswith("cpu"):
        where = f"{facts['device_name']} ({where})"
    load = "" if facts["load"] is None else f", load {facts['load']:g}"
    title = f"unfold {facts['unfold']}, torch {facts['torch']}, Python {facts['python']}; "
    title += f"{where}{load}; {facts['date'][:10]}"
    done = [row for row in rows if row.status == "ok"]
    others = [
        f"{row.status}: {row.group}/{row.name}: {shorten(row.reason, _REASON, placeholder=' ...')}"
        for row in rows
        if row.status != "ok"
    ]
    lines = [title, ""]
    if done:
        lines += [markdown_table([_HEAD, *map(_cells, done)])]
    if others:
        lines += ["", *dict.fromkeys(others)]
    return "\n".join(lines)


def write_json(
    path: Path, rows: Sequence[BenchmarkRow], facts: dict[str, Any], *, complete: bool
) -> None:
    """Write a JSON object atomically:

    ``format`` ("unfold-bench/1"); ``complete`` (False if it was stopped); ``environment`` (see
    `machine`); ``rows``, each with the attributes of `BenchmarkRow` by name, times in
    seconds and memory in bytes, null where there is none.

    Raises:
        OSError: if the file cannot be written.
    """
    document = {
        "format": "unfold-bench/1",
        "complete": complete,
        "environment": facts,
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    replace_file(path, (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode())


def _cells(row: BenchmarkRow) -> tuple[str, ...]:
    ratio = ""
    if row.memory is not None and row.baseline_memory:
        ratio = f"{row.memory / row.baseline_memory:.2f}"
    assert row.seconds is not None
    assert row.ratio is not None
    return (
        row.group,
        row.name,
        row.size,
        seconds(row.seconds),
        f"{row.ratio:.3g}",
        row.against,
        "" if row.memory is None else size(row.memory),
        ratio,
        str(row.rounds),
    )


def seconds(value: float) -> str:
    """A time with three digits and a unit, such as ``12.3 ms``."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def size(count: int) -> str:
    """A size with a unit, such as ``12.3 MiB``."""
    if count < 1024:
        return f"{count} B"
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"


def _processor() -> str:
    """The name of the CPU, if the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
