"""Counter-based random numbers: functions of a seed and a position.

The numbers of all photos of a batch are drawn at once, on the device of their seeds, and are equal
on all devices (up to rounding of logarithm and cosine).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from contextvars import ContextVar

import torch
from torch import Tensor

_WORD = 2**32 - 1
_COUNTING: ContextVar[bool] = ContextVar("counting", default=False)


@contextlib.contextmanager
def counted() -> Iterator[None]:
    """A context in which noise is drawn by counters, on the device of its seeds. Otherwise it is
    drawn by torch's generator, on the CPU, for one photo at a time. The noise is not the same."""
    token = _COUNTING.set(True)
    try:
        yield
    finally:
        _COUNTING.reset(token)


def counting() -> bool:
    """Whether this is within `counted`."""
    return _COUNTING.get()


def philox(counter: Sequence[Tensor], seed: Tensor) -> list[Tensor]:
    """Four random words of 32 bits, int64: Philox 4×32 with ten rounds.

    Args:
        counter: four words, int64 in [0, 2³²), of shapes that broadcast with the seed's.
        seed: int64: the two words of the key, the lower one first.

    Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
    """
    words, keys = list(counter), (seed, seed >> 32)
    for number in range(10):
        first, second = ((k + number * w) & _WORD for k, w in zip(keys, _WEYL, strict=True))
        # (Products of more than 63 bits wrap around, and so keep all 64.)
        a, b = (m * word for m, word in zip(_FACTORS, words[::2], strict=True))
        words = [_high(b) ^ words[1] ^ first, b & _WORD, _high(a) ^ words[3] ^ second, a & _WORD]
    return words


_FACTORS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85


def _high(product: Tensor) -> Tensor:
    return (product >> 32) & _WORD


def uniform(seed: Tensor, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Numbers ``(B, *shape)`` of [0, 1), each row from its own seed ``(B,)``, on its device."""
    # 24 bits: float32 holds them all, and never rounds to 1.
    return _rows(philox(*_places(seed, shape)), shape, lambda word: (word >> 8).to(dtype) / 2**24)


def normal(seed: Tensor, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal numbers ``(B, *shape)``, each row from its own seed ``(B,)``, on its device.

    By the transform of Box and Muller, at most 6.8 in absolute value.
    """
    one, two, three, four = (
        (word.to(dtype) + 0.5) / 2**32 for word in philox(*_places(seed, shape))
    )
    pairs = []
    for length, turn in ((one, two), (three, four)):
        radius, angle = (-2 * length.log()).sqrt(), 2 * math.pi * turn
        pairs += [radius * angle.cos(), radius * angle.sin()]
    return _rows(pairs, shape, lambda x: x)


def _places(seed: Tensor, shape: tuple[int, ...]) -> tuple[list[Tensor], Tensor]:
    place = torch.arange(-(-math.prod(shape) // 4), device=seed.device)
    zero = torch.zeros_like(place)
    return [place, zero, zero, zero], seed[:, None]


def _rows(words, shape: tuple[int, ...], value) -> Tensor:
    """Words ``(B, n)``, four of them, as the first numbers of each row."""
    rows = torch.stack([value(word) for word in words], -1).flatten(1)
    return rows[:, : math.prod(shape)].unflatten(1, shape) if shape else rows[:, 0]
