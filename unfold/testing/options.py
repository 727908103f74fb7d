"""Checks of the options of a component of any group: their bounds, and the time to build it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from unfold.errors import UnfoldError
from unfold.registry import ComponentError
from unfold.registry.spec import Spec, resolve, spec_type

from .tools import Subject, need

_NUMBERS = ("integer", "number")
_LOWEST = ("minimum", "exclusiveMinimum")
_HIGHEST = ("maximum", "exclusiveMaximum")
_SECONDS = 5.0  # what is within the limits takes about one; computers differ, and are busy
_INPUTS = {"priors": (3,), "terms": ("a", "b", "c", "d")}


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


def largest(group: str, name: str) -> Iterator[tuple[str, Spec]]:
    """Specs with each number as large as is valid: alone, all together, and so with every switch
    turned. Each has a title for messages; of a component without numbers there are none.

    Options without a default are texts here, and each is its own name.
    """
    schema = spec_type(group, name).model_json_schema()
    options: Mapping[str, Any] = schema["properties"]
    given = {option: option for option in schema.get("required", ())} | {"kind": name}
    together = given
    for option, described in options.items():
        values = list(_largest(described, schema.get("$defs", {})))
        alone = _first_valid(group, given, option, values)
        if alone is not None:
            yield f"{option}={getattr(alone, option)}", alone
            together = dict(_first_valid(group, together, option, values) or together)
    if together is given:
        return
    yield "its numbers at their largest", resolve(group, together)
    switches = dict(together)
    for option, described in options.items():
        if isinstance(described.get("default"), bool):
            turned = [not described["default"]]
            switches = dict(_first_valid(group, switches, option, turned) or switches)
    if switches != together:
        yield "its numbers at their largest, its switches turned", resolve(group, switches)


def _first_valid(
    group: str, given: Mapping[str, Any], option: str, values: list[Any]
) -> Spec | None:
    """The spec with an option at the first of these values that is valid."""
    for value in values:
        try:
            return resolve(group, {**given, option: value})
        except (ValidationError, ComponentError):
            continue
    return None


def _largest(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Iterator[Any]:
    """Large values of an option that holds numbers, the largest first. Some break a rule that is
    not in the schema: that a size is odd, that a range rises."""
    if "$ref" in schema:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    for choice in schema.get("anyOf", ()):
        yield from _largest(choice, defs)
    if "enum" in schema or "const" in schema:
        return
    if schema.get("type") in ("integer", "number"):
        yield from _numbers(schema)
    elif "prefixItems" in schema:
        items = [list(_largest(item, defs)) for item in schema["prefixItems"]]
        if all(items):
            yield [values[0] for values in items]
            yield [*(values[0] // 2 for values in items[:-1]), items[-1][0]]
    elif "maxItems" in schema:
        for value in _largest(schema.get("items", {}), defs):
            yield [value] * schema["maxItems"]


def _numbers(schema: Mapping[str, Any]) -> Iterator[float]:
    """The largest number that a schema allows, and of integers the one below."""
    whole, above = schema["type"] == "integer", schema.get("exclusiveMaximum")
    if "maximum" in schema:
        high = schema["maximum"]
    elif above is not None:
        high = above - 1 if whole else math.nextafter(above, -math.inf)
    else:
        return
    high -= high % schema.get("multipleOf", 1) if whole else 0
    yield high
    if whole:
        yield high - 1


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
