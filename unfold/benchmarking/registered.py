"""Cases from the registry: one for each installed component of a group."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from unfold.registry.catalog import Component, ComponentError, components
from unfold.registry.spec import Spec, spec_type

from .case import Case, PairedRun, Size, SkippedError

MakePair = Callable[[Any, Size, torch.device], PairedRun]


def registered(
    group: str, size: Size, pair: MakePair, make: Callable[[Component], Any] | None = None
) -> Iterator[Case]:
    """A case for each component of a group; none is imported before it is prepared.

    Args:
        group: e.g. ``"priors"``.
        size: of the picture.
        pair: built component, size, device -> what is timed.
        make: builds the component; by default with its default options.
    """
    make = make or build

    def prepare(component: Component, device: torch.device) -> PairedRun:
        return pair(make(component), size, device)

    for name, component in components(group):
        yield Case(group, name, size, partial(prepare, component), provider(component))


def provider(component: Component) -> str:
    """Where it is from."""
    return f"{component.distribution} {component.version}"


def find_spec(component: Component) -> type[Spec]:
    """Its spec, by the name that no other component has.

    Raises:
        SkippedError: it must not be loaded (left out by ``UNFOLD_PLUGINS``, or made for another
            version).
        ComponentError: it is broken.
    """
    if component.obstacle:
        raise SkippedError(component.obstacle)
    return spec_type(component.group, component.qualified)


def build(component: Component, *inputs: Any) -> Any:
    """A component with its default options.

    Raises:
        SkippedError: it has options without a default, or refuses its defaults with a ValueError
            (a metric without its weights).
        Exception: whatever else its code raises.
    """
    spec = find_spec(component)
    required = [name for name, field in spec.model_fields.items() if field.is_required()]
    if required:
        raise SkippedError(f"its options have no default: {', '.join(required)}")
    options = spec(kind=component.qualified)
    try:
        return options.build(*inputs)
    except ComponentError:
        raise
    except ValueError as error:
        raise SkippedError(str(error)) from error
