"""Specs: a component's options as a pydantic model, read off its constructor's signature."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, SerializeAsAny, create_model

from .catalogue import ComponentError, find, load


class Spec(BaseModel):
    """The name of a component and its options; ``build`` makes the component.

    A component is a class or function. Its keyword-only parameters are its options: their
    annotations validate them, their defaults are the spec's. Positional parameters (a prior's
    ``channels``) are supplied by whoever builds it. Nothing is written twice.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)
    component: ClassVar[Callable[..., Any]]
    kind: str

    def build(self, *inputs: Any) -> Any:
        """The component with these options."""
        names = [name for name in type(self).model_fields if name != "kind"]
        return type(self).component(*inputs, **{name: getattr(self, name) for name in names})


@functools.cache
def spec_type(group: str, name: str) -> type[Spec]:
    """The spec of an installed component; imports that component and no other.

    Raises:
        ComponentError: it is unknown, ambiguous or broken.
    """
    target = load(find(group, name))
    if not callable(target):
        raise ComponentError(f"{name!r} in unfold.{group} is no class or function")
    constructor = target.__init__ if inspect.isclass(target) else target
    hints = typing.get_type_hints(constructor, include_extras=True)
    fields: dict[str, Any] = {"kind": (Literal[name], name)}
    for option in inspect.signature(constructor).parameters.values():
        if option.kind is option.KEYWORD_ONLY:
            default = ... if option.default is option.empty else option.default
            fields[option.name] = (hints.get(option.name, Any), default)
    made = create_model(name, __base__=Spec, __doc__=inspect.getdoc(target), **fields)
    made.component = target
    return made


def resolve(group: str, value: Any) -> Any:
    """A name, or a mapping with ``kind`` and options, as a validated spec.

    Specs and callables (a class, a function that builds the component) pass as they are.
    """
    if isinstance(value, str):
        value = {"kind": value}
    if isinstance(value, Mapping):
        if "kind" not in value:
            raise ValueError(f'a {group[:-1]} needs its name: {{"kind": "...", ...}}')
        return spec_type(group, value["kind"]).model_validate(dict(value))
    if isinstance(value, Spec) or callable(value):
        return value
    raise ValueError(
        f"a {group[:-1]} is given by its name, a mapping with 'kind', a Spec or a function that "
        f"builds it, got {type(value).__name__}"
    )


def factory(group: str, value: Any) -> Callable[..., Any]:
    """What builds the component that ``value`` names (see `resolve`)."""
    resolved = resolve(group, value)
    return resolved.build if isinstance(resolved, Spec) else resolved


# The type of an option that may hold any installed prior.
PriorLike = Annotated[SerializeAsAny[Any], BeforeValidator(functools.partial(resolve, "priors"))]


def build(group: str, name: str, **options: Any) -> Any:
    """An installed component by name, its options validated all at once.

    Raises:
        ComponentError: it is unknown, ambiguous or broken.
        pydantic.ValidationError: every option that does not fit, each with its path.
    """
    return resolve(group, {"kind": name, **options}).build()
