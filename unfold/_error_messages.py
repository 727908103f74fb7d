"""Messages of the errors that pydantic finds in a user's input."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import ValidationError


def _dotted(place: Sequence[int | str]) -> str:
    return ".".join(map(str, place))


def error_messages(
    error: ValidationError, place: Callable[[tuple[int | str, ...]], str] = _dotted
) -> list[str]:
    """One line for each error: its place and its message."""
    return [
        ": ".join(filter(None, (place(e["loc"]), e["msg"].removeprefix("Value error, "))))
        for e in error.errors()
    ]
