"""The same model with other parts: what each costs in it."""

from __future__ import annotations

import fnmatch
import json
import types
import typing
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import WithJsonSchema

from unfold.registry.catalogue import GROUPS, Component, find, singular
from unfold.registry.spec import Spec

from .case import Case, Pair, SkippedError
from .networks import CHANNELS, restoring
from .registered import build, components, find_spec, provider
from .size import Size


class SwapError(ValueError):
    """What is to be swapped does not exist; one line says what does."""


def swap_cases(text: str, size: Size) -> Iterator[Case]:
    """Every model that has an option for a component, with others in its place.

    Args:
        text: ``prior=*`` (each installed prior in turn), ``prior=deepinv-*``, ``prior=ircnn``, or
            a config, ``prior={"kind": "deepinv-drunet", "weights": "random"}``.
        size: of the picture.

    Each is timed against the model with its own default.

    Raises:
        SwapError: no assignment, an option that no model has, a pattern that nothing matches.
        ComponentError: no such component; the message has the closest names.
    """
    option, equals, wanted = (part.strip() for part in text.partition("="))
    if not (option and equals and wanted):
        raise SwapError(f"--swap {text}: must be OPTION=NAME, e.g. prior=* or prior=ircnn")
    found = _models(option)
    if not found:
        raise SwapError(
            f"--swap {text}: no installed model has an option {option!r} that holds a component; "
            f"there is {', '.join(_options()) or 'none'}"
        )
    for name, model, group in found:
        for value, component in _candidates(text, group, wanted):
            prepare = partial(_pair, model, option, value, component, size)
            shown = value if isinstance(value, str) else component.name
            yield Case("swap", f"{name}, {option}={shown}", size, prepare, provider(component))


def _pair(
    model: Component,
    option: str,
    value: Any,
    component: Component,
    size: Size,
    device: torch.device,
) -> Pair:
    # What is wrong with the component itself is told apart from what does not fit.
    if isinstance(value, str) and component.group == "priors":
        build(component, CHANNELS)
    else:
        find_spec(component)
    spec = find_spec(model)
    try:
        swapped = spec.model_validate({"kind": model.qualified, option: value}).build()
    except ValueError as error:
        raise SkippedError(f"does not fit: {error}") from error
    own = spec(kind=model.qualified).build()
    ours, theirs = (restoring(model, size, device)[0] for model in (swapped, own))
    return Pair(ours, theirs, f"with its own {option}")


def _candidates(text: str, group: str, wanted: str) -> list[tuple[Any, Component]]:
    if wanted.startswith("{"):
        try:
            config = json.loads(wanted)
            kind = str(config["kind"])
        except (ValueError, KeyError) as error:
            reason = 'it has no "kind"' if isinstance(error, KeyError) else str(error)
            raise SwapError(f"--swap {text}: is no config ({reason})") from error
        return [(config, find(group, kind))]
    if not any(sign in wanted for sign in "*?["):
        return [(wanted, find(group, wanted))]
    here = components(group)
    matching = [(name, c) for name, c in here if fnmatch.fnmatchcase(name, wanted)]
    if not matching:
        names = ", ".join(name for name, _ in here) or "none"
        raise SwapError(f"--swap {text}: no {singular(group)} matches; installed: {names}")
    return matching


def _models(option: str) -> list[tuple[str, Component, str]]:
    """Models with that option, and the group of the components that it holds."""
    return [(n, c, holds[option]) for n, c, holds in _holders() if option in holds]


def _options() -> list[str]:
    return sorted({option for _, _, holds in _holders() for option in holds})


def _holders() -> Iterator[tuple[str, Component, dict[str, str]]]:
    for name, component in components("models"):
        try:
            spec = find_spec(component)
        except Exception:  # a model that cannot be loaded is told in the rows of the models
            continue
        yield name, component, _holds(spec)


def _holds(spec: type[Spec]) -> dict[str, str]:
    """Option -> the group of the component that it holds."""
    fields = spec.model_fields.items()
    found = {name: _group(field.annotation, field.metadata) for name, field in fields}
    return {name: group for name, group in found.items() if group}


def _group(annotation: Any, marks: Sequence[Any] = ()) -> str:
    """The group that an annotation marks, also as one of several kinds of values: a part or None;
    else the empty string."""
    for mark in marks:
        schema = mark.json_schema if isinstance(mark, WithJsonSchema) else None
        if schema and schema.get("group") in GROUPS:
            return schema["group"]
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _group(inner[0], inner[1:])
    if origin in (typing.Union, types.UnionType):
        return next(filter(None, map(_group, inner)), "")
    return ""
