"""The largest valid options of a component."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from unfold.registry import ComponentError
from unfold.registry.spec import Spec, resolve, spec_type


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
