"""Functions by name: commands of the command line, and engines that restore folders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .catalog import find, load
from .kinds import check_class


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
