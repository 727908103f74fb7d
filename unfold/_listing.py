"""Lists of components, protocols, tables and recipes by group, made without imports of them."""

from __future__ import annotations

import ast
import builtins
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from ._shipped import ShippedFiles
from .registry.catalog import HOME, Component, ComponentError, check_group, installed

GROUPS = {
    "models": "restore photos",
    "priors": "regularizers of a block, each given by its proximal operator",
    "terms": "residuals of data terms and constraints",
    "estimators": "estimate a photo's kernel, exposure, noise or illumination",
    "losses": "functions that training minimizes",
    "metrics": "quality measures for `unfold evaluate`",
    "degradations": "make degraded photos from good ones",
    "datasets": "readers of data sets",
    "protocols": "rules of measurement for `unfold evaluate`",
    "tables": "tables of papers, for `unfold table`",
    "recipes": "configurations for `unfold train` and `unfold synthesize`",
    "commands": "commands of this program",
    "engines": "distribute photos, for `unfold restore --engine`",
    "plugins": "distributions that provide components",
}


@dataclass(frozen=True)
class ListEntry:
    """One line of a listing.

    Attributes:
        group: one of `GROUPS`.
        name: registered name.
        distribution: name of the distribution that provides it.
        version: version of that distribution.
        status: ``ok`` if the name can be used; otherwise the reason why not.
        call: the name to use: ``name``, or ``distribution:name`` if another component has the same
            name; empty if the component cannot be used.
        describe: returns a summary of one line; called only for entries that are shown.
    """

    group: str
    name: str
    distribution: str
    version: str
    status: str
    call: str
    describe: Callable[[], str]

    @property
    def foreign(self) -> bool:
        """Whether a plugin provides it."""
        return self.distribution != HOME


def list(
    group: str | None = None, pattern: str = "*", *, pretrained: bool = False
) -> builtins.list[str]:
    """The sorted names in a group, or the groups. Imports no component.

    Args:
        group: ``"models"``, ``"priors"``, ``"terms"``, ``"estimators"``, ``"losses"``,
            ``"metrics"``, ``"degradations"``, ``"datasets"``, ``"protocols"``, ``"tables"``,
            ``"recipes"``, ``"commands"``, ``"engines"`` or ``"plugins"``; None lists the groups.
        pattern: pattern of the names, e.g. ``"jude*"``.
        pretrained: whether to list only models with weights that come with the library.

    Raises:
        ComponentError: if there is no such group, or ``pretrained`` is set and the group is not
            ``"models"``.

    Example:
        >>> import unfold
        >>> unfold.list()[:3]
        ['models', 'priors', 'terms']
        >>> unfold.list("models", "jude-c*")
        ['jude-classic']
        >>> unfold.list("models", "jude*", pretrained=True)
        ['jude-small']
    """
    if group is None:
        return [*GROUPS]
    names = {e.call for e in entries(group) if e.call and fnmatchcase(e.call, pattern)}
    if pretrained:
        if group != "models":
            raise ComponentError(f"pretrained weights are those of models, not of {group}")
        from .models.pretrained import pretrained_models

        names &= {*pretrained_models()}
    return sorted(names)


def entries(group: str) -> builtins.list[ListEntry]:
    """The entries of a group, including those that cannot be used.

    Raises:
        ComponentError: if there is no such group.
    """
    check_group(group, [*GROUPS])
    found = _OTHERS[group]() if group in _OTHERS else _components(group)
    return sorted(found, key=lambda e: (e.name, e.distribution))


def _components(group: str) -> Iterator[ListEntry]:
    here = [c for c in installed().components if c.group == group]
    for c in here:
        about = partial(getattr, c, "summary")
        yield ListEntry(group, c.name, c.distribution, c.version, *_status(c, here), about)


def _status(component: Component, here: builtins.list[Component]) -> tuple[str, str]:
    """The status of a component, and the name to use (see `ListEntry`)."""
    if component.obstacle:
        return component.obstacle, ""
    rivals = [c for c in here if c.name == component.name and c != component and not c.obstacle]
    if component.distribution != HOME and rivals:
        return f"name taken: call it {component.qualified}", component.qualified
    return "ok", component.name


def _plugins() -> Iterator[ListEntry]:
    components = installed().components
    for project in {c.distribution for c in components} - {HOME}:
        own = [c for c in components if c.distribution == project]
        brings = Counter(c.group for c in own)
        about = ", ".join(f"{group}: {count}" for group, count in brings.items())
        obstacles = {c.obstacle for c in own}
        status = obstacles.pop() if len(obstacles) == 1 else ""
        call = "" if status else project
        yield ListEntry(
            "plugins", project, project, own[0].version, status or "ok", call, about.format
        )


def _recipes() -> Iterator[ListEntry]:
    for command, package in {"train": "training", "synthesize": "synthesis"}.items():
        shipped = ShippedFiles(f"unfold.{package}", ComponentError)
        for name in shipped.names():
            yield _own("recipes", name, partial(_about, shipped, name, command))


def _about(shipped: ShippedFiles, name: str, command: str) -> str:
    return f"({command}) {shipped.read(name)['about']}"


def _declared(group: str, module: str, kind: str, text: str) -> Iterator[ListEntry]:
    """Calls ``kind(name="...", text="...")`` in a module, read from its source."""
    source = files("unfold").joinpath(f"evaluation/{module}").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == kind:
            words: dict[str, Any] = {
                word.arg or "": ast.literal_eval(word.value)
                for word in node.keywords
                if word.arg in ("name", text)
            }
            yield _own(group, words["name"], partial(words.__getitem__, text))


def _own(group: str, name: str, describe: Callable[[], str]) -> ListEntry:
    return ListEntry(group, name, HOME, version(HOME), "ok", name, describe)


_OTHERS = {
    "plugins": _plugins,
    "recipes": _recipes,
    "protocols": partial(_declared, "protocols", "protocols.py", "Protocol", "source"),
    "tables": partial(_declared, "tables", "papers.py", "PaperTable", "title"),
}
