"""All benchmark cases: our own, and one for each installed component."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from .case import Case, Size
from .imaging import imaging_cases
from .networks import fast_cases, metric_cases, model_cases, prior_cases
from .stages import stage_cases
from .startup import startup_cases
from .terms import peer_cases, term_cases

SMALL, LARGE = Size(256, 256), Size(720, 1280)

GROUPS: Mapping[str, Sequence[Callable[[Size], Iterator[Case]]]] = {
    "terms": (term_cases, peer_cases),
    "priors": (prior_cases,),
    "stages": (stage_cases,),
    "models": (model_cases, fast_cases),
    "metrics": (metric_cases,),
    "imaging": (imaging_cases,),
    "startup": (startup_cases,),
}
# What is stated for a large photo, too, and is quick there.
_ALSO_LARGE = ("convolution", "convolution, DeepInverse")


def cases(
    groups: Iterable[str] = (), sizes: Sequence[Size] = (), only: str = "*"
) -> Iterator[Case]:
    """The cases of groups at sizes.

    Args:
        groups: names from `GROUPS`; empty: all groups.
        sizes: sizes of the images; empty: 256×256, and 720×1280 for the deconvolution by FFT.
        only: a pattern (such as ``deepinv-*``) that the names must match.

    Example:
        >>> from unfold.benchmarking import Size, cases
        >>> (case,) = cases(["metrics"], [Size(64, 64)], only="mae")
        >>> case.group, case.name, str(case.size)
        ('metrics', 'mae', '64x64')
    """
    for group in groups or GROUPS:
        for make in GROUPS[group]:
            for case in _sized(make, sizes):
                if fnmatch.fnmatchcase(case.name, only):
                    yield case


def _sized(make: Callable[[Size], Iterator[Case]], sizes: Sequence[Size]) -> Iterator[Case]:
    if make is startup_cases:
        yield from make(SMALL)
        return
    for size in sizes or (SMALL,):
        yield from make(size)
    if not sizes and make in GROUPS["terms"]:
        yield from (case for case in make(LARGE) if case.name in _ALSO_LARGE)
