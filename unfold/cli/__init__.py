"""The command line: find the command, call it, print. Commands are entries of ``unfold.commands``.

What a command needs is imported when it runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from unfold.registry.catalogue import ComponentError, components, one_scan
from unfold.registry.functions import function

from ._common import (
    DEFAULT_MODEL,
    CommandError,
    find_device,
    model_spec,
    positive_int,
    ready,
)

__all__ = [
    "DEFAULT_MODEL", "CommandError", "find_device", "main", "model_spec", "positive_int", "ready",
]  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``unfold ARGUMENTS``; returns the exit status.

    0: done. 1: some of it failed, the rest is done. 2: nothing was done (a wrong command).
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        with one_scan():
            return _run(argv)
    except KeyboardInterrupt:
        print("unfold: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output is gone, as in `unfold list | head`
        sys.stderr.close()
        return 0
    except (ComponentError, CommandError) as error:
        print(f"unfold: {error}", file=sys.stderr)
        return 2


def _run(argv: list[str]) -> int:
    if not argv or argv[0].startswith("-"):
        _overview().parse_args(argv[:1])  # ends the process: there is no command
    name, *rest = argv
    parser = argparse.ArgumentParser(prog=f"unfold {name}")
    function("commands", name)(parser)
    arguments = parser.parse_args(rest)
    arguments.command_line = argv  # for reports
    return arguments.run(arguments)


def _overview() -> argparse.ArgumentParser:
    """What tells of all commands. Imports none."""
    parser = argparse.ArgumentParser(
        prog="unfold", description="Unrolled image restoration: restore photos, see what is there."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, entry in components("commands"):
        if entry.obstacle:
            continue
        line = entry.summary.rstrip(".").replace("%", "%%")
        commands.add_parser(name, help=line[:1].lower() + line[1:])
    return parser
