"""Messages of the errors that pydantic finds in a user's input."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_MEMBER = re.compile(r"constrained-\w+|.*\[.*\]")  # how pydantic calls the member of a union


def _dotted(place: Sequence[int | str]) -> str:
    return ".".join(map(str, place))


def error_messages(
    error: ValidationError, place: Callable[[tuple[int | str, ...]], str] = _dotted
) -> list[str]:
    """One line for each invalid value: its place, what is required, and the value."""
    found: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    for each in error.errors():
        path = tuple(key for key in each["loc"] if not _MEMBER.fullmatch(str(key)))
        found.setdefault(path, []).append(each)
    return [
        ": ".join(filter(None, (place(path), " or ".join(map(_message, _likely(errors))))))
        for path, errors in found.items()
        if not _is_of_another_member(errors, path, found)
    ]


def _is_of_another_member(
    errors: list[ErrorDetails], path: tuple[int | str, ...], paths: Iterable[tuple[int | str, ...]]
) -> bool:
    """Whether a value is meant for the member of a union that reports errors inside of it."""
    of_union = all(len(each["loc"]) > len(path) for each in errors)
    return of_union and any(len(p) > len(path) and p[: len(path)] == path for p in paths)


def _likely(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Of the errors of a union's members, those of the members that the value may be meant for: a
    number, or else a component, whose errors are the library's own."""
    number = isinstance(errors[0]["input"], (int, float))
    return [e for e in errors if (e["type"] == "value_error") != number] or errors


def _message(error: ErrorDetails) -> str:
    message = error["msg"].removeprefix("Value error, ")
    if message.startswith("Input should "):
        value = repr(error["input"])
        value = value if len(value) <= 60 else f"{value[:57]}..."
        return f"must {message.removeprefix('Input should ')}, got {value}"
    return {
        "Field required": "is required",
        "Extra inputs are not permitted": "there is no such option",
    }.get(message, message)
