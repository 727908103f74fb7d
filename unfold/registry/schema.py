"""A JSON schema of every installed component's options, for editors."""

from __future__ import annotations

from typing import Any, cast

from pydantic.errors import PydanticInvalidForJsonSchema

from .catalog import GROUPS, HOME, Component, ComponentError, scan
from .probe import probe
from .spec import Spec, spec_type


def schema(*, seconds: float = 30) -> tuple[dict[str, Any], list[str]]:
    """The schema, and one line for each broken component, which it does not contain.

    ``$defs`` has an entry for each group, which accepts any of its components, by name or as an
    object with ``kind`` and options. The schema itself describes a model. Plugins are first tested
    in another process (see `probe`), with a limit of ``seconds`` for each.
    """
    components = scan().components
    verdicts = probe([c for c in components if c.distribution != HOME], seconds=seconds)
    errors = [f"{v.component.qualified}: {v.error}" for v in verdicts if v.error]
    broken = {v.component for v in verdicts if v.error}
    definitions: dict[str, Any] = {}
    for group in GROUPS:
        choices: list[dict[str, Any]] = []
        for component in components:
            if component.group != group or component in broken:
                continue
            try:
                described = _spec(component).model_json_schema(ref_template="#/$defs/{model}")
            except PydanticInvalidForJsonSchema as error:
                errors.append(f"{component.qualified}: {' '.join(str(error).split())}")
                continue
            definitions |= described.pop("$defs", {})
            described["required"] = sorted({*described.get("required", []), "kind"})
            choices.append(_linked(described))
        names = [choice["properties"]["kind"]["const"] for choice in choices]
        definitions[group] = {"anyOf": [{"enum": names}, *choices]}
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "$ref": "#/$defs/models", "$defs": definitions}, errors


def _spec(component: Component) -> type[Spec]:
    """The spec with the plain name if it is unique, as in configs."""
    try:
        found = spec_type(component.group, component.name)
        if found.entry == component:
            return found
    except ComponentError:
        pass
    return spec_type(component.group, component.qualified)


def _linked(described: Any) -> Any:
    """Make an option that accepts any component of a group refer to the entry of that group."""
    if isinstance(described, dict):
        described = cast(dict[str, Any], described)
        if described.get("group") in GROUPS:
            return {"$ref": f"#/$defs/{described['group']}"}
        return {key: _linked(value) for key, value in described.items()}
    if isinstance(described, list):
        return [_linked(value) for value in cast(list[Any], described)]
    return described
