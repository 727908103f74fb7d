"""Components by name: found through entry points, described by pydantic specs, loaded lazily."""

from .catalogue import (
    GROUPS,
    Catalogue,
    Component,
    ComponentError,
    Damage,
    find,
    load,
    scan,
)

__all__ = [
    "GROUPS", "Catalogue", "Component", "ComponentError", "Damage", "find", "load", "scan",
]  # fmt: skip
