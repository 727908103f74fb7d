"""Components by name: found through entry points, described by pydantic specs, loaded lazily."""

from .catalog import (
    GROUPS,
    Catalog,
    Component,
    ComponentError,
    Damage,
    find,
    load,
    scan,
)

__all__ = [
    "GROUPS", "Catalog", "Component", "ComponentError", "Damage", "find", "load", "scan",
]  # fmt: skip
