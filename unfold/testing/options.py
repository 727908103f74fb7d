"""Checks of the options of a component of any group."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from .tools import Subject, need

_NUMBERS = ("integer", "number")
_LOWEST = ("minimum", "exclusiveMinimum")
_HIGHEST = ("maximum", "exclusiveMaximum")


def bounds_its_numbers(subject: Subject) -> None:
    """Every numeric option has finite bounds, and every list of numbers a largest length.

    Otherwise a far too large option is only noticed when the memory is full.
    """
    from unfold.registry.spec import spec_type

    assert subject.name is not None
    loose = sorted(set(unbounded(spec_type(subject.group, subject.name).model_json_schema())))
    need(
        not loose,
        f"no bounds on {', '.join(loose)}: annotate as Annotated[int, Field(ge=1, le=64)], and a "
        "list with Field(max_length=8), too",
    )


def unbounded(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """The options in a JSON schema that are numbers without bounds, or lists without a largest
    length."""
    kind, fixed = schema.get("type"), "enum" in schema or "const" in schema
    if kind in _NUMBERS and not fixed and not (_has(schema, _LOWEST) and _has(schema, _HIGHEST)):
        yield path
    items = schema.get("items")
    if kind == "array" and "maxItems" not in schema and _holds_numbers(items):
        yield path
    for key in ("properties", "$defs"):
        for name, inner in schema.get(key, {}).items():
            yield from unbounded(inner, f"{path}.{name}".lstrip("."))
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for inner in schema.get(key, ()):
            yield from unbounded(inner, path)
    for inner in (items, schema.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from unbounded(inner, path)


def _has(schema: dict[str, Any], bounds: tuple[str, ...]) -> bool:
    return any(math.isfinite(schema.get(bound, math.nan)) for bound in bounds)


def _holds_numbers(items: Any) -> bool:
    return isinstance(items, dict) and items.get("type") in _NUMBERS
