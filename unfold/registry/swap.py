"""Options whose value is a component, and the components that can replace it: ``prior=*``."""

from __future__ import annotations

import fnmatch
import json
import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import WithJsonSchema

from unfold.errors import UnfoldError

from .catalog import GROUPS, Component, components, find, singular
from .spec import Spec


class SwapError(UnfoldError, ValueError):
    """Raised if a swap is malformed or matches nothing; the message lists the alternatives.

    Example:
        >>> from unfold.benchmarking import Size, swap_cases
        >>> list(swap_cases("priors=*", Size(64, 64)))
        Traceback (most recent call last):
            ...
        unfold.registry.swap.SwapError: --swap priors=*: no installed model has an option ...
    """


@dataclass(frozen=True)
class Candidate:
    """A component that replaces another.

    Attributes:
        name: its unique name in the group.
        config: its config, with the name as ``kind``.
        component: its registration.
    """

    name: str
    config: dict[str, Any]
    component: Component


@dataclass(frozen=True)
class Swap:
    """``OPTION=WANTED``: an option of a model, and its new values.

    Attributes:
        option: an option of the model, or the path of a nested option, ``denoiser.prior``.
        wanted: a name, a pattern (``*``, ``deepinv-*``), or a config in JSON,
            ``{"kind": "deepinv-drunet", "weights": "random"}``.
    """

    option: str
    wanted: str

    @classmethod
    def parse(cls, text: str) -> Swap:
        """Read ``OPTION=WANTED``.

        Raises:
            SwapError: if the text is not such an assignment.
        """
        option, equals, wanted = (part.strip() for part in text.partition("="))
        if not (option and equals and wanted):
            raise SwapError(f"--swap {text}: must be OPTION=NAME, e.g. prior=* or prior=ircnn")
        return cls(option, wanted)

    def __str__(self) -> str:
        return f"--swap {self.option}={self.wanted}"

    def candidates(self, group: str) -> list[Candidate]:
        """The matching components of a group. None is imported.

        Raises:
            SwapError: if the config is malformed, or no component matches the pattern.
            ComponentError: if no component has that name; the message names the closest one.
        """
        if self.wanted.startswith("{"):
            return [self._configured(group)]
        if not any(sign in self.wanted for sign in "*?["):
            component = find(group, self.wanted)
            return [Candidate(self.wanted, {"kind": self.wanted}, component)]
        installed = components(group)
        matching = [
            Candidate(name, {"kind": name}, component)
            for name, component in installed
            if fnmatch.fnmatchcase(name, self.wanted)
        ]
        if not matching:
            names = ", ".join(name for name, _ in installed) or "none"
            raise SwapError(f"{self}: no {singular(group)} matches; installed: {names}")
        return matching

    def _configured(self, group: str) -> Candidate:
        try:
            config = json.loads(self.wanted)
            kind = str(config["kind"])
        except (ValueError, KeyError) as error:
            reason = 'it has no "kind"' if isinstance(error, KeyError) else str(error)
            raise SwapError(f"{self}: is not a config ({reason})") from error
        component = find(group, kind)
        return Candidate(component.name, config, component)


def held_groups(spec: type[Spec]) -> dict[str, str]:
    """Option -> group of the component that is its value."""
    held: dict[str, str] = {}
    for name, field in spec.model_fields.items():
        for mark in (*field.metadata, *_marks(field.annotation)):
            schema = mark.json_schema if isinstance(mark, WithJsonSchema) else None
            if schema and schema.get("group") in GROUPS:
                held[name] = schema["group"]
    return held


def _marks(annotation: Any) -> Iterator[Any]:
    """The metadata of an annotation, of the annotated type, and of the members of a union."""
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
        yield from _marks(annotation.__origin__)  # (as in Python 3.10, if the default is None)
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _marks(member)
