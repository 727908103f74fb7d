"""What keeps an evaluation from being begun."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from unfold.errors import UnfoldError


class EvaluationError(UnfoldError, ValueError):
    """An evaluation that cannot be begun; one line says why."""


def no_such(kind: str, name: str, there: Collection[str]) -> str:
    """What to say of a name that does not exist: the closest, and all there are."""
    close = difflib.get_close_matches(name, there, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"no {kind} named {name!r}; {hint}there are {', '.join(there)}"
