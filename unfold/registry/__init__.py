"""Components by name: found through entry points, described by pydantic specs, loaded lazily."""

from .catalogue import (
    GROUPS,
    Component,
    ComponentError,
    find,
    list_components,
    load,
    scan,
)

__all__ = ["GROUPS", "Component", "ComponentError", "find", "list_components", "load", "scan"]
