"""One case for each installed component of a group."""

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
    """One case for each component of a group. A component is imported when its case is prepared.

    Args:
        group: such as ``"priors"``.
        size: size of the image.
        pair: a function of the component, the size and the device that returns the pair of calls.
        make: builds the component; by default with its default options.
    """
    make = make or build

    def prepare(component: Component, device: torch.device) -> PairedRun:
        return pair(make(component), size, device)

    for name, component in components(group):
        yield Case(group, name, size, partial(prepare, component), provider(component))


def provider(component: Component) -> str:
    """The distribution that installed a component, with its version."""
    return f"{component.distribution} {component.version}"


def find_spec(component: Component) -> type[Spec]:
    """The spec of a component, by its unique name.

    Raises:
        SkippedError: if the component must not be loaded: ``UNFOLD_PLUGINS`` excludes it, or it
            requires another version.
        ComponentError: if it cannot be imported.
    """
    if component.obstacle:
        raise SkippedError(component.obstacle)
    return spec_type(component.group, component.qualified)


def build(component: Component, *inputs: Any) -> Any:
    """A component with its default options.

    Raises:
        SkippedError: if an option has no default, or the defaults cause a ValueError (such as a
            metric without its weights).
        Exception: any other error of the component.
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
