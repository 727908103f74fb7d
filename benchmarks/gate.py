"""Whether what was reached is still reached: ``uv run python benchmarks/gate.py``.

Each case is timed in turns with its bound or baseline, in one run, so that its ratio holds on any
machine. ``bounds.toml`` has the ratios that were reached. One that is worse is measured again, a
few times, since other processes only ever make it worse; what stays worse by more than the noise
fails.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from unfold.benchmarking import Case, Size, cases, measure
from unfold.registry.config import tomllib

BOUNDS = Path(__file__).parent / "bounds.toml"
NOISE = 1.15
TRIES = 5


def main() -> int:
    """Print each ratio and its bound; 1 if one is worse."""
    bounds: dict[str, float] = tomllib.loads(BOUNDS.read_text("utf-8"))["ratios"]
    found = chosen(bounds)
    worse = False
    for name, bound in bounds.items():
        ratio = least_ratio(found[name], bound * NOISE)
        failed = ratio > bound * NOISE
        print(f"{'WORSE' if failed else 'ok':<6} {name:<44} {ratio:.2f}  (reached: {bound:.2f})")
        worse = worse or failed
    return int(worse)


def chosen(names: dict[str, float]) -> dict[str, Case]:
    """The cases of these names. Raises SystemExit for one that there is none of."""
    groups = dict.fromkeys(name.partition("/")[0] for name in names)
    found = {
        str(case): case
        for size in (Size(256, 256), Size(720, 1280))
        for case in cases(groups, [size])
    }
    if unknown := names.keys() - found.keys():
        raise SystemExit(f"{BOUNDS}: no case is called {', '.join(sorted(unknown))}")
    return {name: found[name] for name in names}


def least_ratio(case: Case, enough: float) -> float:
    """The least of a few measurements; no more of them than it takes to be good enough."""
    ratio = float("inf")
    for _ in range(TRIES):
        row = measure(case, torch.device("cpu"))
        if row.ratio is None:
            raise SystemExit(f"{case}: {row.status}: {row.reason}")
        ratio = min(ratio, row.ratio)
        if ratio <= enough:
            break
    return ratio


if __name__ == "__main__":
    sys.exit(main())
