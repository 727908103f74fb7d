"""What is installed: entry points of every distribution, read without importing any of them."""

from __future__ import annotations

import configparser
import difflib
import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import entrypoints

from .summary import summary

GROUPS = ("terms", "priors", "estimators", "models", "metrics", "degradations", "datasets")
HOME = "unfold-imaging"


class ComponentError(ValueError):
    """A component that is unknown, ambiguous or broken; the message says what to do."""


@dataclass(frozen=True, order=True)
class Component:
    """One registered name.

    Attributes:
        group: one of `GROUPS`.
        name: as registered.
        distribution: the project that registers it, normalised (``acme-prior``).
        version: of that distribution.
        target: ``module:attribute``.
    """

    group: str
    name: str
    distribution: str
    version: str
    target: str

    @property
    def summary(self) -> str:
        """The first line of its docstring, read from its source without importing it."""
        return summary(self.target)


def scan() -> tuple[Component, ...]:
    """Every component of every installed distribution, sorted; nothing is imported.

    Distributions are read one at a time: one whose metadata is malformed is left out alone.
    """
    found: dict[str, list[Component]] = {}
    for distribution in importlib.metadata.distributions():
        try:
            components = list(_components(distribution))
        except Exception:  # metadata is a stranger's: it may fail in any way
            continue
        for component in components:
            # The first on sys.path is the one that would be imported; later ones are shadowed.
            earlier = found.setdefault(component.distribution, components)
            if earlier is not components:
                break
    return tuple(sorted(c for components in found.values() for c in components))


def list_components(group: str) -> list[str]:
    """The names installed in a group, sorted. Imports no component.

    Args:
        group: ``"models"``, ``"priors"``, ``"terms"``, ... (see `GROUPS`).

    Raises:
        ComponentError: no such group.
    """
    _check_group(group)
    return sorted({c.name for c in scan() if c.group == group})


def find(group: str, name: str) -> Component:
    """The one component of that name; ``distribution:name`` chooses between two.

    A built-in is never shadowed: a stranger's component of the same name is reached by
    ``distribution:name`` only.

    Raises:
        ComponentError: no such group; unknown name (with the closest matches); a name that two
            distributions claim.
    """
    _check_group(group)
    here = [c for c in scan() if c.group == group]
    distribution, _, plain = name.rpartition(":")
    matches = [c for c in here if c.name == plain and distribution in ("", c.distribution)]
    if not distribution:
        matches = [c for c in matches if c.distribution == HOME] or matches
    if not matches:
        names = sorted({c.name for c in here})
        close = difflib.get_close_matches(plain, names, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"installed: {_join(names)}"
        raise ComponentError(f"no {_singular(group)} named {name!r}; {hint}")
    if len(matches) > 1:
        choices = _join([f"{c.distribution}:{c.name}" for c in matches])
        raise ComponentError(
            f"several distributions register the {_singular(group)} {name!r}: name one, {choices}"
        )
    return matches[0]


def load(component: Component) -> Any:
    """Import a component.

    Raises:
        ComponentError: it cannot be imported; the cause is chained.
    """
    point = entrypoints.EntryPoint.from_string(component.target, component.name)
    try:
        return point.load()
    except Exception as error:  # a plugin's import may fail in any way
        raise ComponentError(
            f"the {_singular(component.group)} {component.name!r} of {component.distribution} "
            f"{component.version} cannot be loaded from {component.target}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _components(distribution: importlib.metadata.Distribution) -> Iterator[Component]:
    text = distribution.read_text("entry_points.txt")
    if not text or "unfold." not in text:
        return
    parser = entrypoints.CaseSensitiveConfigParser(delimiters=("=",))
    parser.read_string(text)
    project = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
    for section in parser.sections():
        group = section.removeprefix("unfold.")
        if group == section or group not in GROUPS:
            continue
        for name, target in _items(parser, section):
            entrypoints.EntryPoint.from_string(target, name)  # raises if it is malformed
            yield Component(group, name, project, distribution.version, target)


def _items(parser: configparser.ConfigParser, section: str) -> list[tuple[str, str]]:
    return [(name, target.strip()) for name, target in parser.items(section, raw=True)]


def _check_group(group: str) -> None:
    if group not in GROUPS:
        raise ComponentError(f"no group named {group!r}; groups are {_join(list(GROUPS))}")


def _singular(group: str) -> str:
    return group[:-1]


def _join(names: list[str]) -> str:
    return ", ".join(names) or "none"
