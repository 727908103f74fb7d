"""Installed components: the entry points of all distributions, read without importing them."""

from __future__ import annotations

import contextlib
import difflib
import importlib.metadata
import os
import re
from collections.abc import Collection, Generator, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

import entrypoints

from unfold.errors import UnfoldError

from .summary import summary

GROUPS = (
    "terms", "priors", "estimators", "models", "losses", "metrics", "degradations", "datasets",
)  # fmt: skip
# Groups of functions that are called directly: commands of the program, engines for folders.
FUNCTIONS = ("commands", "engines")
_ALL = GROUPS + FUNCTIONS
# What `unfold list` also has.
_LISTED = (*FUNCTIONS, "protocols", "tables", "recipes", "plugins")
HOME = "unfold-imaging"
ALLOW = "UNFOLD_PLUGINS"
# First word of a component's name -> the plugin of this project that provides it, for the message
# that a component is not installed.
_ELSEWHERE = {
    "app": "unfold-app",
    "bm3d": "unfold-bm3d",
    "deepinv": "unfold-deepinv",
    "devudp": "unfold-devudp",
    "drunet": "unfold-drunet",
    "export": "unfold-onnx",
    "fdn": "unfold-fdn",
    "iat": "unfold-iat",
    "lednet": "unfold-lednet",
    "pyiqa": "unfold-pyiqa",
    "ray": "unfold-ray",
}


_shared: ContextVar[list[Catalog] | None] = ContextVar("_shared", default=None)
# Folder of metadata -> marks of its files when it was last read, and what it registered.
_read: dict[str, tuple[tuple[Any, ...] | None, tuple[str, list[Component]]]] = {}


class ComponentError(UnfoldError, ValueError):
    """Raised if a component is unknown, ambiguous or broken; the message names the remedy.

    Example:
        >>> import unfold
        >>> unfold.create("priors", "total-varation")
        Traceback (most recent call last):
            ...
        unfold.registry.catalog.ComponentError: no prior named 'total-varation'; did you ...
    """


@dataclass(frozen=True, order=True)
class Component:
    """A registered component.

    Attributes:
        group: one of `GROUPS` or `FUNCTIONS`.
        name: its registered name.
        distribution: name of the distribution that registers it, normalized (``acme-prior``).
        version: version of that distribution.
        target: ``module:attribute``.
        obstacle: why it must not be loaded, as far as this is known without importing it; otherwise
            empty.

    Example:
        >>> from unfold.registry import find
        >>> component = find("priors", "l0")
        >>> component.qualified, component.target
        ('unfold-imaging:l0', 'unfold.priors.closed_form:L0')
        >>> component.summary
        '``g(x)`` is the number of nonzero values; for gradients it favors few edges.'
    """

    group: str
    name: str
    distribution: str
    version: str
    target: str
    obstacle: str = ""

    @property
    def qualified(self) -> str:
        """``distribution:name``, which is unique in the group."""
        return f"{self.distribution}:{self.name}"

    @property
    def summary(self) -> str:
        """The first sentence of its docstring, read from its source without importing it."""
        return summary(self.target)


@dataclass(frozen=True, order=True)
class Damage:
    """A distribution that registers components, but whose metadata cannot be read.

    Example:
        >>> from unfold.registry import Damage
        >>> Damage("acme_prior-0.1.dist-info", "no version in METADATA")
        Damage(distribution='acme_prior-0.1.dist-info', error='no version in METADATA')
    """

    distribution: str
    error: str


@dataclass(frozen=True)
class Catalog:
    """All installed components, sorted, so that the order of installation has no effect.

    Example:
        >>> from unfold.registry import scan
        >>> catalog = scan()
        >>> any(c.qualified == "unfold-imaging:psnr" for c in catalog.components)
        True
    """

    components: tuple[Component, ...]
    damaged: tuple[Damage, ...]


def scan() -> Catalog:
    """All components of all installed distributions. Nothing is imported.

    Only the distribution with malformed metadata is left out. A distribution whose files have not
    changed is not read again.

    Example:
        >>> from unfold.registry import scan
        >>> sorted({component.group for component in scan().components})[:3]
        ['commands', 'datasets', 'degradations']
    """
    found: dict[str, list[Component]] = {}
    damaged: list[Damage] = []
    for distribution in importlib.metadata.distributions():
        try:
            project, components = _registered(distribution)
            # The first on sys.path is the one that would be imported; later ones are shadowed.
            found.setdefault(project, components)
        except Exception as error:  # metadata of others may cause any error
            reason = " ".join(str(error).split()) or type(error).__name__
            damaged.append(Damage(_place(distribution), reason))
    components = sorted(c for components in found.values() for c in components)
    return Catalog(tuple(components), tuple(sorted(damaged)))


@contextlib.contextmanager
def one_scan() -> Generator[None]:
    """A context, which may be nested, in which `installed` reads the installed components once.

    (A first scan takes a tenth of a second or more, and a config may name twenty components.)
    """
    token = None if _shared.get() is not None else _shared.set([])
    try:
        yield
    finally:
        if token is not None:
            _shared.reset(token)


def installed() -> Catalog:
    """The result of `scan`; within `one_scan`, that of the first call."""
    shared = _shared.get()
    if shared is None:
        return scan()
    if not shared:
        shared.append(scan())
    return shared[0]


def components(group: str) -> list[tuple[str, Component]]:
    """The installed components of a group, including broken ones, with unique names.

    The unique name is the registered name, or ``distribution:name`` if two distributions register
    the same name.
    """
    here = [c for c in installed().components if c.group == group]
    names = [c.name for c in here]
    return [(c.qualified if names.count(c.name) > 1 else c.name, c) for c in here]


def find(group: str, name: str) -> Component:
    """The component of that name; ``distribution:name`` selects one of several.

    A built-in component is never shadowed: a plugin's component of the same name is only found as
    ``distribution:name``.

    Raises:
        ComponentError: if the group or the name is unknown (with the closest matches), two
            distributions register the name, or the component must not be loaded.

    Example:
        >>> from unfold.registry import find
        >>> find("metrics", "psnr").target
        'unfold.metrics.pixels:PSNR'
    """
    check_group(group, _ALL)
    catalog = installed()
    here = [c for c in catalog.components if c.group == group]
    distribution, _, plain = name.rpartition(":")
    matches = [c for c in here if c.name == plain and distribution in ("", c.distribution)]
    if not distribution:
        matches = [c for c in matches if c.distribution == HOME] or matches
    # A component that must not be loaded does not make a name ambiguous.
    matches = [c for c in matches if not c.obstacle] or matches
    if not matches:
        raise ComponentError(_unknown(group, name, here, catalog.damaged))
    if matches[0].obstacle:
        raise ComponentError(_refusal(matches[0], matches[0].obstacle))
    if len(matches) > 1:
        choices = _join([c.qualified for c in matches])
        raise ComponentError(
            f"several distributions register the {singular(group)} {name!r}: choose {choices}"
        )
    return matches[0]


def load(component: Component) -> Any:
    """Import a component.

    Raises:
        ComponentError: if it cannot be imported; the cause is chained.

    Example:
        >>> from unfold.registry import find, load
        >>> load(find("metrics", "psnr"))
        <class 'unfold.metrics.pixels.PSNR'>
    """
    point = entrypoints.EntryPoint.from_string(component.target, component.name)
    try:
        return point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything, even SystemExit
        reason = f"{type(error).__name__}: {error}"
        raise ComponentError(
            _refusal(component, f"cannot be loaded from {component.target}: {reason}")
        ) from error


def _registered(distribution: importlib.metadata.Distribution) -> tuple[str, list[Component]]:
    """The name and components of a distribution, cached as long as its files do not change."""
    place = str(getattr(distribution, "_path", ""))
    if not place.endswith(".dist-info"):
        return _parsed(distribution)
    points = _mark(f"{place}/entry_points.txt")
    key = points and (points, _mark(f"{place}/METADATA"), os.environ.get(ALLOW))
    before = _read.get(place)
    if before is None or before[0] != key:
        before = _read[place] = (key, _parsed(distribution))
    return before[1]


def _mark(path: str) -> tuple[int, int, int] | None:
    """Values that change with the contents of a file; None if there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _parsed(distribution: importlib.metadata.Distribution) -> tuple[str, list[Component]]:
    text = distribution.read_text("entry_points.txt")
    if not text or "unfold." not in text:
        # The name of its folder, acme_prior-1.2.dist-info, suffices.
        return _normalize(_place(distribution).partition("-")[0]), []
    project = _normalize(distribution.metadata["Name"])
    return project, list(_components(distribution, project, text))


def _components(
    distribution: importlib.metadata.Distribution, project: str, text: str
) -> Iterator[Component]:
    parser = entrypoints.CaseSensitiveConfigParser(delimiters=("=",))
    parser.read_string(text)
    refused, version = _refused(distribution, project), distribution.version
    for section in parser.sections():
        if not section.startswith("unfold."):
            continue
        group = section.removeprefix("unfold.")
        wrong = "" if group in _ALL else f"is in an unknown group; groups are {_join(list(_ALL))}"
        for name, target in parser.items(section, raw=True):
            obstacle = refused or wrong or _malformed(name, target)
            yield Component(group, name, project, version, target.strip(), obstacle)


def _refused(distribution: importlib.metadata.Distribution, project: str) -> str:
    """Why a distribution must not be loaded; otherwise empty."""
    if project == HOME:
        return ""
    allowed = os.environ.get(ALLOW, "").strip()
    if allowed and project not in {_normalize(name.strip()) for name in allowed.split(",")}:
        return f"is not allowed: {ALLOW}={allowed} leaves out {project}"
    needs = [r for r in distribution.requires or () if _normalize(r).startswith(HOME)]
    if not needs:
        return ""
    from packaging.requirements import Requirement

    ours = _our_version()
    for requirement in map(Requirement, needs):
        same = _normalize(requirement.name) == HOME
        if same and not requirement.specifier.contains(ours, prereleases=True):
            return (
                f"requires {HOME}{requirement.specifier}, and {ours} is installed: install a "
                f"version of {project} for it"
            )
    return ""


@cache
def _our_version() -> str:
    return importlib.metadata.version(HOME)


def _malformed(name: str, target: str) -> str:
    try:
        point = entrypoints.EntryPoint.from_string(target, name)
    except Exception:
        return f"points to {target.strip()!r}, which is not module:attribute"
    return (
        "" if point.object_name else f"points to the module {target.strip()!r}, not to a name in it"
    )


def _unknown(group: str, name: str, here: list[Component], damaged: tuple[Damage, ...]) -> str:
    distribution, _, plain = name.rpartition(":")
    names = sorted({c.name for c in here if not c.obstacle})
    close = difflib.get_close_matches(plain, names, n=3)
    home = _ELSEWHERE.get(plain.partition("-")[0], distribution)
    if home and home not in {c.distribution for c in here}:
        hint = f"it needs {home}: pip install {home}"
    elif close:
        hint = f"did you mean {' or '.join(close)}?"
    else:
        hint = f"installed: {_join(names)}; if a plugin provides it, install the plugin first"
    if damaged:
        unread = _join([d.distribution for d in damaged])
        hint += f" ({unread} cannot be read; see `unfold plugins check`)"
    return f"no {singular(group)} named {name!r}; {hint}"


def _refusal(component: Component, reason: str) -> str:
    return (
        f"the {singular(component.group)} {component.name!r} of {component.distribution} "
        f"{component.version} {reason}"
    )


def check_group(group: Any, groups: Collection[str]) -> None:
    """Raise `ComponentError` unless a group is one of these."""
    if group in _LISTED and group not in groups:
        raise ComponentError(
            f"{group} are no components, and cannot be created: `unfold list {group}` has their "
            f"names; components are in {_join([*GROUPS])}"
        )
    if group not in groups:
        raise ComponentError(f"no group named {group!r}; {suggestion(group, groups, 'groups')}")


def suggestion(name: Any, names: Collection[str], what: str) -> str:
    """The names that are closest to a wrong one; all names if none is close.

    Example:
        >>> from unfold.registry.catalog import suggestion
        >>> suggestion("widthz", ["width", "blocks"], "options")
        'did you mean width?'
        >>> suggestion("zzz", ["width", "blocks"], "options")
        'options are width, blocks'
    """
    close = difflib.get_close_matches(str(name), names)
    return f"did you mean {' or '.join(close)}?" if close else f"{what} are {_join([*names])}"


def _place(distribution: importlib.metadata.Distribution) -> str:
    """The folder of a distribution, which identifies it if it has no readable name."""
    return os.path.basename(str(getattr(distribution, "_path", distribution)))


def _normalize(project: str) -> str:
    return re.sub(r"[-_.]+", "-", project).lower()


def singular(group: str) -> str:
    """The singular noun for a component of a group."""
    if group == "losses":
        return "loss"
    return group[:-1] if group in _ALL else f"entry in {group!r}"


def _join(names: list[str]) -> str:
    return ", ".join(names) or "none"
