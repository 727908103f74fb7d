"""Specs: a component's options as a pydantic model, derived from its constructor's signature."""

from __future__ import annotations

import contextlib
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ModelWrapValidatorHandler,
    SerializeAsAny,
    ValidationError,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from unfold.errors import InputError

from .catalog import (
    GROUPS,
    Component,
    ComponentError,
    check_group,
    find,
    load,
    one_scan,
    singular,
    suggestion,
)
from .config import with_new_names
from .kinds import check_class, check_object
from .limit import limited
from .messages import error_messages


class Spec(BaseModel):
    """The name of a component and its options; ``build`` creates the component.

    A component is a class or function. Its keyword-only parameters are its options, with their
    annotations as validators and their defaults. Positional parameters (a prior's ``channels``) are
    arguments of ``build``.

    To check combinations of options, a component may have a static method ``option_errors(spec)``,
    which returns a path and a message for each error. It is called if every option is valid by
    itself.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        validate_default=True,
        ser_json_inf_nan="constants",  # a bound may be infinite: null would be another value
    )
    component: ClassVar[Callable[..., Any]]
    entry: ClassVar[Component]
    kind: str

    @model_validator(mode="wrap")
    @classmethod
    def _suggest(cls, value: Any, validate: ModelWrapValidatorHandler[Spec]) -> Spec:
        """Say which options there are, if one is unknown."""
        try:
            return validate(value)
        except ValidationError as error:
            details = [cls._described(each) for each in error.errors()]
            raise ValidationError.from_exception_data(error.title, details) from error

    @classmethod
    def _described(cls, error: ErrorDetails) -> InitErrorDetails:
        kind, path, message = error["type"], error["loc"], error["msg"]
        if kind == "extra_forbidden" and len(path) == 1:
            names = [name for name in cls.model_fields if name != "kind"]
            message = f"there is no such option; {suggestion(path[0], names, 'options')}"
        return _detail(path, message, kind, error["input"])

    @model_validator(mode="after")
    def _consistent(self) -> Spec:
        check = getattr(type(self).component, "option_errors", None)
        if check is not None and (found := check(self)):
            raise ValidationError.from_exception_data(self.kind, [_detail(*f) for f in found])
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # (The class is in no module, so the process that unpickles creates it again.)
        return resolve, (type(self).entry.group, dict(self))

    def build(self, *inputs: Any) -> Any:
        """Build the component with these options.

        Raises:
            ComponentError: if its constructor raises an error, or the result has the wrong type for
                its group.
        """
        _check_inputs(type(self).entry, inputs)
        names = [name for name in type(self).model_fields if name != "kind"]
        options = {name: getattr(self, name) for name in names}
        # (Without options, the size is fixed, and needs no limit.)
        limit = limited() if names else contextlib.nullcontext()
        try:
            with one_scan(), limit:
                built = supply(type(self).component, inputs, options)
        except ValueError as error:
            if type(error) not in (ValueError, InputError):  # (others are for callers)
                raise
            entry = type(self).entry
            raise ComponentError(
                f"the {singular(entry.group)} {self.kind!r} cannot be built: {error}"
            ) from error
        check_object(type(self).entry, built)
        return built


def _check_inputs(entry: Component, inputs: tuple[Any, ...]) -> None:
    if entry.group == "priors" and inputs:
        channels = inputs[0]
        if not isinstance(channels, int) or isinstance(channels, bool) or channels < 1:
            raise ComponentError(
                f"the prior {entry.name!r} is made for a number of channels of at least 1, got "
                f"{channels!r}; give 3 for color images"
            )


def _detail(
    path: tuple[int | str, ...], message: str, kind: str = "inconsistent", value: Any = None
) -> InitErrorDetails:
    # (PydanticCustomError is typed to take literals only.)
    error = PydanticCustomError(cast(Any, kind), "{message}", {"message": message})
    return InitErrorDetails(type=error, loc=path, input=value)


def spec_type(group: str, name: str) -> type[Spec]:
    """The spec of an installed component. Only that component is imported.

    Raises:
        ComponentError: if it is unknown, ambiguous or broken, or has the wrong type for its group.
    """
    return _spec_type(find(group, name), name)


@functools.cache
def _spec_type(entry: Component, name: str) -> type[Spec]:
    target = load(entry)
    check_class(entry, target)
    try:
        fields: dict[str, Any] = _options(target)
        fields["kind"] = (Literal[name], name)  # type: ignore[valid-type]
        made = create_model(name, __base__=Spec, __doc__=inspect.getdoc(target), **fields)
    except Exception as error:  # annotations of plugins may cause any error
        raise ComponentError(
            f"the options of {entry.qualified} in unfold.{entry.group} cannot be read from the "
            f"signature of {entry.target}: {type(error).__name__}: {error}"
        ) from error
    made.component, made.entry = target, entry
    return made


def _options(target: Callable[..., Any]) -> dict[str, Any]:
    constructor = target.__init__ if inspect.isclass(target) else target
    hints = typing.get_type_hints(constructor, include_extras=True)
    return {
        option.name: (
            hints.get(option.name, Any),
            ... if option.default is option.empty else option.default,
        )
        for option in inspect.signature(constructor).parameters.values()
        if option.kind is option.KEYWORD_ONLY
    }


def supply(
    component: Callable[..., Any], inputs: tuple[Any, ...], options: Mapping[str, Any]
) -> Any:
    """Call a component with as many of the inputs as it has positional parameters."""
    parameters = inspect.signature(component).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    # (*args does not count: modules without a constructor inherit it.)
    taken = sum(parameter.kind in positional for parameter in parameters)
    return component(*inputs[:taken], **options)


def resolve(group: str, value: Any) -> Any:
    """The validated spec for a name, or for a mapping with ``kind`` and options.

    It is meant for validators, whose errors pydantic collects; see `spec_of` for the others.

    Specs and callables (a class or a function that builds the component) are returned unchanged.

    Raises:
        ComponentError: if the value is none of these, or the component cannot be loaded.
        ValidationError: if options are invalid; it contains all errors with their paths.
    """
    check_group(group, GROUPS)
    if isinstance(value, str):
        value = {"kind": value}
    if isinstance(value, Mapping):
        config = cast(Mapping[str, Any], value)
        kind = config.get("kind")
        if not isinstance(kind, str):
            raise ComponentError(f'{_one(group)} must be named by "kind": {{"kind": "...", ...}}')
        with one_scan():
            return spec_type(group, kind).model_validate(with_new_names(group, config))
    if callable(getattr(value, "forward", None)) and not inspect.isclass(value):
        raise ComponentError(
            f"{_one(group)} is built several times, got one {type(value).__name__}: pass a "
            "function that builds it, such as the class"
        )
    if isinstance(value, Spec) or callable(value):
        return value
    raise ComponentError(
        f"{_one(group)} must be a name, a mapping with 'kind', a Spec or a function that "
        f"builds it, got {type(value).__name__}"
    )


def spec_of(group: str, value: Any, name: str = "") -> Any:
    """The validated spec, like `resolve`, with the errors of the options in a message.

    Args:
        group: group of the component.
        value: see `resolve`.
        name: what the message calls the component, such as the path of its config; by default its
            kind.

    Raises:
        ComponentError: if the component cannot be loaded, or if options are invalid; the message
            has all errors.

    Example:
        >>> from unfold.registry.spec import spec_of
        >>> spec_of("models", {"kind": "jude-classic", "K": 0})
        Traceback (most recent call last):
            ...
        unfold.registry.catalog.ComponentError: jude-classic: K: must be greater than or equal ...
    """
    try:
        return resolve(group, value)
    except ValidationError as error:
        raise ComponentError(
            f"{name or error.title}: " + "; ".join(error_messages(error))
        ) from error


def _one(group: str) -> str:
    """ "a prior", "an estimator"."""
    name = singular(group)
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def factory(group: str, value: Any) -> Callable[..., Any]:
    """A function that builds the component of ``value`` (see `resolve`)."""
    resolved = resolve(group, value)
    if isinstance(resolved, Spec):
        return resolved.build
    return lambda *inputs: supply(resolved, inputs, {})


# The type of an option that may hold any installed prior. (The schema is filled in by
# unfold.registry.schema.)
PriorLike = Annotated[
    SerializeAsAny[Any],
    BeforeValidator(functools.partial(resolve, "priors")),
    WithJsonSchema({"group": "priors"}),
]


def _registered_degradation(value: Any) -> Spec:
    spec = resolve("degradations", value)
    if isinstance(spec, Spec):
        spec.build()  # so that errors of its constructor are reported with the others
        return spec
    raise InputError("a recipe must name its degradations, so that it can be saved and repeated")


# The type of an option that holds an installed degradation.
DegradationSpec = Annotated[
    SerializeAsAny[Any],
    BeforeValidator(_registered_degradation),
    WithJsonSchema({"group": "degradations"}),
]
