"""What is wrong with a user's input, as pydantic found it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import ValidationError


def _dotted(place: Sequence[int | str]) -> str:
    return ".".join(map(str, place))


def error_messages(
    error: ValidationError, place: Callable[[tuple[int | str, ...]], str] = _dotted
) -> list[str]:
    """Every error: where, and what."""
    return [
        ": ".join(filter(None, (place(e["loc"]), e["msg"].removeprefix("Value error, "))))
        for e in error.errors()
    ]
