"""The required type of the components of each group, and those that are functions."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from .catalog import FUNCTIONS, Component, ComponentError, find, load

# (By name, so that a component is built without the packages of the other groups.)
_BASES = {
    "terms": "unfold.core:Residual",
    "priors": "unfold.core:Prior",
    "estimators": "torch.nn:Module",
    "models": "unfold.restorer:Restorer",
    "losses": "unfold.losses:Loss",
    "metrics": "unfold.metrics:Metric",
    "degradations": "unfold.degradation:Degradation",
    "datasets": "unfold.datasets:Dataset",
}


def check_class(entry: Component, target: Any) -> None:
    """Check that the target of an entry point can be a component of its group.

    Raises:
        ComponentError: if it is not a class or function, has the wrong base class, or is abstract.
    """
    if not callable(target):
        raise _wrong(entry, f"is {type(target).__name__} {target!r:.40}, not a class or function")
    if not inspect.isclass(target) or entry.group in FUNCTIONS:
        return  # (`check_object` checks what a function builds)
    base = _base(entry.group)
    if not issubclass(target, base):
        raise _wrong(
            entry, f"is not a subclass of {base.__module__.rpartition('.')[0]}.{base.__name__}"
        )
    missing = sorted(getattr(target, "__abstractmethods__", ())) or _unimplemented(target, base)
    if missing:
        raise _wrong(entry, f"does not implement {', '.join(missing)}")


def check_object(entry: Component, built: Any) -> None:
    """Check the type of a built component.

    Raises:
        ComponentError: if it has the wrong type.
    """
    base = _base(entry.group)
    if not isinstance(built, base):
        raise _wrong(entry, f"built a {type(built).__name__}, not a {base.__name__}")


def _base(group: str) -> type:
    module, _, name = _BASES[group].partition(":")
    return getattr(importlib.import_module(module), name)


def _unimplemented(target: type, base: type) -> list[str]:
    """Abstract methods that a subclass of a plain nn.Module does not implement."""
    abstract = [n for n, m in vars(base).items() if getattr(m, "__isabstractmethod__", False)]
    return [name for name in abstract if getattr(target, name) is getattr(base, name)]


def _wrong(entry: Component, error: str) -> ComponentError:
    return ComponentError(
        f"the entry {entry.name!r} of {entry.distribution} {entry.version} in "
        f"unfold.{entry.group} ({entry.target}) {error}"
    )


def function(group: str, name: str) -> Callable[..., Any]:
    """An installed command or engine. Only its module is imported.

    A command is a function of an ``argparse.ArgumentParser``: it adds its arguments, and sets
    ``run``, a function of the parsed arguments that returns the exit status, as their default. Its
    docstring is its help: the first sentence is its line in ``unfold --help``, and a section
    ``Example:`` at the end is printed below the options.

    An engine, ``unfold restore --engine NAME``, restores the photos of a folder in other processes.
    It is called as ``engine(config, pairs, *, journal, workers, quick, again, **options)`` and
    yields an `unfold.restoration.FileResult` for each photo. ``config`` is the config of the model,
    ``pairs`` are the paths of each photo and its result, ``workers`` is the number of processes (or
    None), and ``quick`` is whether the model is used in its fast mode. The other arguments are
    those of `unfold.restoration.restore_files`.

    Args:
        group: ``"commands"`` or ``"engines"``.
        name: registered name of the command or engine.

    Raises:
        ComponentError: if it is unknown, ambiguous or broken.
    """
    entry = find(group, name)
    target = load(entry)
    check_class(entry, target)
    return target
