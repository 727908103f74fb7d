"""How long it takes to build a component."""

from __future__ import annotations

import time
from typing import Any

from unfold.errors import UnfoldError
from unfold.registry.spec import Spec

from .largest import largest
from .tools import Subject, need

_SECONDS = 5.0  # what is within the limits takes about one; computers differ, and are busy
_INPUTS = {"priors": (3,), "terms": ("a", "b", "c", "d")}


def is_built_quickly(subject: Subject) -> None:
    """A spec whose numbers are as large as is valid is built in about a second, or refused.

    Tensors and modules are counted while any component is built (`unfold.registry.limit`). This
    check is of the rest: of loops, and of errors that are none of ours.
    """
    assert subject.name is not None
    for number, (title, spec) in enumerate(largest(subject.group, subject.name)):
        inputs = _INPUTS.get(subject.group, ())
        seconds = _seconds(title, spec, inputs)
        if number == 0 and seconds >= _SECONDS:  # the first one may have imported libraries
            seconds = _seconds(title, spec, inputs)
        need(
            seconds < _SECONDS,
            f"{title}: it takes {seconds:.1f} s to build: lower the bounds of the options, or "
            "raise a ValueError before the work",
        )


def _seconds(title: str, spec: Spec, inputs: tuple[Any, ...]) -> float:
    """How long this thread works to build a spec, or to refuse it."""
    begin = time.thread_time()
    try:
        spec.build(*inputs)
    except UnfoldError:
        pass
    except Exception as error:
        kind, text = type(error).__name__, " ".join(str(error).split())[:200]
        raise AssertionError(f"{title}: {kind}, no UnfoldError: {text}") from error
    return time.thread_time() - begin
