"""A benchmark case: a call to time, at a size, and its bound or baseline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from unfold.errors import InputError, UnfoldError

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
            InputError: if the text has another form, or a side is shorter than 32 pixels.
        """
        height, x, width = text.partition("x")
        sides = _NAMED.get(text, (height, width if x else height))
        if not all(str(side).isdecimal() and int(side) >= LEAST for side in sides):
            raise InputError(
                f"size {text!r}: must be a side such as 256, HEIGHTxWIDTH, or "
                f"{' or '.join(_NAMED)}; no side below {LEAST}"
            )
        return cls(*map(int, sides))


@dataclass(frozen=True)
class PairedRun:
    """Two calls that are timed alternately.

    Attributes:
        run: the measured call.
        baseline: the call that it is compared with.
        against: description of the bound or baseline.
        share: the bound is this many times the baseline. For example, the time of a convolution is
            scaled to the arithmetic of a network. 1 for a plain baseline.
        process: whether both start a process and return its peak memory in bytes (see
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
    """One row of a table before it is measured.

    Attributes:
        group: one of `unfold.benchmarking.GROUPS`, or ``"swap"``.
        name: name of the measured component.
        size: size of the images; None if the case has none.
        prepare: builds the pair of calls on a device. If it raises an error, the error is stated in
            the row.
        provider: distribution and version that installed the component; empty for our own.
        host: whether it is measured on the CPU only (files, processes).

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
    """The case cannot be measured on this machine; the message states what is missing.

    Example:
        >>> import torch
        >>> from unfold.benchmarking import Case, SkippedError, measure
        >>> def prepare(device):
        ...     raise SkippedError("needs a GPU")
        >>> row = measure(Case("mine", "fast", None, prepare), torch.device("cpu"))
        >>> row.status, row.reason
        ('skipped', 'needs a GPU')
    """
