"""Errors of an evaluation that cannot start."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from unfold.errors import UnfoldError


class EvaluationError(UnfoldError, ValueError):
    """Raised if an evaluation cannot start; the message gives the reason.

    Example:
        >>> import unfold
        >>> from unfold.evaluation import evaluate
        >>> evaluate(unfold.create_model("identity"), [], "gopro", also=["psnr"])
        Traceback (most recent call last):
            ...
        unfold.evaluation.errors.EvaluationError: 'psnr' is added, but gopro has psnr, ...
    """


def no_such(kind: str, name: str, there: Collection[str]) -> str:
    """The message for an unknown name: the closest name and all existing ones."""
    close = difflib.get_close_matches(name, there, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"no {kind} named {name!r}; {hint}there are {', '.join(there)}"
