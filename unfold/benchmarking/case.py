"""A case: something to time, at a size, and what to hold it against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from unfold.errors import UnfoldError

LEAST = 32  # the blurs have kernels of 31
_NAMED = {"720p": (720, 1280), "1080p": (1080, 1920)}


class Size(NamedTuple):
    """Height and width, in pixels.

    Example:
        >>> from unfold.benchmarking import Size
        >>> Size.parse("720p"), str(Size.parse("256"))
        (Size(height=720, width=1280), '256x256')
    """

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    @classmethod
    def parse(cls, text: str) -> Size:
        """``256``, ``720x1280`` (height first) or ``720p``.

        Raises:
            ValueError: it is none of these, or below 32 pixels.
        """
        height, x, width = text.partition("x")
        sides = _NAMED.get(text, (height, width if x else height))
        if not all(str(side).isdecimal() and int(side) >= LEAST for side in sides):
            raise ValueError(
                f"size {text!r}: must be a side such as 256, HEIGHTxWIDTH, or "
                f"{' or '.join(_NAMED)}; no side below {LEAST}"
            )
        return cls(*map(int, sides))


@dataclass(frozen=True)
class PairedRun:
    """Two calls that are timed in turns.

    Attributes:
        run: what is measured.
        baseline: what it is compared with.
        against: the bound or baseline in words.
        share: how many times the baseline the bound is (a convolution's time, scaled to a
            network's arithmetic, say); 1 for a plain baseline.
        process: both start a process, and return the most memory it held in bytes (see
            `unfold.benchmarking.startup`).

    Example:
        >>> import torch
        >>> from unfold.benchmarking import PairedRun
        >>> x = torch.rand(64, 64)
        >>> pair = PairedRun(run=lambda: x @ x, baseline=lambda: x + x, against="an addition")
        >>> pair.run().shape == pair.baseline().shape
        True
    """

    run: Callable[[], Any]
    baseline: Callable[[], Any]
    against: str
    share: float = 1.0
    process: bool = False


@dataclass(frozen=True)
class Case:
    """One row of a table, not yet measured.

    Attributes:
        group: one of `unfold.benchmarking.GROUPS`, or ``"swap"``.
        name: of what is measured.
        size: of its pictures; None where there are none.
        prepare: makes the pair on a device. Whatever it raises becomes the row's reason.
        provider: distribution and version that the component is from; empty for our own.
        host: measured on the CPU only (files, processes).

    Example:
        >>> import torch
        >>> from unfold.benchmarking import Case, PairedRun, Size, measure
        >>> def prepare(device):
        ...     x = torch.rand(3, 64, 64, device=device)
        ...     return PairedRun(run=x.sort, baseline=x.clone, against="a copy")
        >>> case = Case("mine", "sort", Size(64, 64), prepare)
        >>> row = measure(case, torch.device("cpu"), rounds=1)
        >>> row.status, row.against
        ('ok', 'a copy')
    """

    group: str
    name: str
    size: Size | None
    prepare: Callable[[torch.device], PairedRun]
    provider: str = ""
    host: bool = False

    def __str__(self) -> str:
        return f"{self.group}/{self.name}" + (f"/{self.size}" if self.size else "")


class SkippedError(UnfoldError):
    """A case that cannot be measured on this machine; the message says what is missing.

    Example:
        >>> import torch
        >>> from unfold.benchmarking import Case, SkippedError, measure
        >>> def prepare(device):
        ...     raise SkippedError("needs a GPU")
        >>> row = measure(Case("mine", "fast", None, prepare), torch.device("cpu"))
        >>> row.status, row.reason
        ('skipped', 'needs a GPU')
    """
