"""Benchmarks of all installed components, each against a bound or a baseline."""

from unfold.registry.swap import SwapError

from .case import Case, PairedRun, Size, SkippedError
from .cases import GROUPS, cases
from .memory import peak_memory
from .networks import chosen_cases
from .row import BenchmarkRow, measure
from .swap import swap_cases

__all__ = [
    "GROUPS", "BenchmarkRow", "Case", "PairedRun", "Size", "SkippedError", "SwapError", "cases",
    "chosen_cases", "measure", "peak_memory", "swap_cases",
]  # fmt: skip
