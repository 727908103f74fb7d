"""Two calls are timed alternately, so that other load affects both equally."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from unfold.models.fast import synchronize

from .case import PairedRun

_SAMPLE = 2e-3  # seconds that one sample lasts at least: far above the clock's grain
_SLOW = 0.05  # seconds: a call that takes as long is a sample, however much the guess is off
_SECONDS = 2.0  # for a case, unless rounds are asked for
_ROUNDS = 20


@dataclass(frozen=True)
class Times:
    """Time of a call and of its bound in seconds: the minimum over the rounds, which other
    processes affect least."""

    seconds: float
    bound: float
    rounds: int

    @property
    def ratio(self) -> float:
        """The quotient of the two times."""
        return self.seconds / self.bound


def compare(
    pair: PairedRun,
    device: torch.device,
    rounds: int | None = None,
    known: tuple[float, float] = (0.0, 0.0),
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Time a pair of calls, each of which has run at least once (first calls are slower).

    Args:
        pair: the two calls.
        device: the device that is synchronized before the clock is read.
        rounds: number of rounds of one sample each; None: 1 to 20, as many as fit two seconds.
        known: approximate time of each call; a call that is known to be slow has no trial run.
        clock: a clock in seconds.
    """
    with torch.inference_mode():
        ours = _Sampler(pair.run, device, clock, known[0])
        theirs = _Sampler(pair.baseline, device, clock, known[1])
        samples: list[tuple[float, float]] = []
        begin = clock()
        while len(samples) < (rounds or _ROUNDS):
            if len(samples) % 2:  # whoever is second finds warm caches: they take turns at it too
                a, b = ours.sample(), theirs.sample()
            else:
                b, a = theirs.sample(), ours.sample()
            samples.append((a, b))
            if rounds is None and clock() - begin > _SECONDS:
                break
    return summarize(samples, pair.share)


def summarize(samples: Sequence[tuple[float, float]], share: float) -> Times:
    """The `Times` of rounds of both calls."""
    least = min(a for a, _ in samples), min(b for _, b in samples)
    return Times(least[0], share * least[1], len(samples))


class _Sampler:
    """Samples of one call, which is repeated until a sample is long enough to be timed."""

    def __init__(
        self,
        run: Callable[[], Any],
        device: torch.device,
        clock: Callable[[], float],
        known: float,
    ) -> None:
        self._run, self._device, self._clock = run, device, clock
        self._repeat = 1
        while known < _SLOW and self._repeat < 10**6:
            took = self.sample() * self._repeat
            if took >= _SAMPLE:
                break
            self._repeat *= max(2, math.ceil(_SAMPLE / max(took, 1e-6)))

    def sample(self) -> float:
        """Time of a call in seconds."""
        synchronize(self._device)
        begin = self._clock()
        for _ in range(self._repeat):
            self._run()
        synchronize(self._device)
        return (self._clock() - begin) / self._repeat
