"""The command line: finds a command among the entry points of ``unfold.commands`` and runs it.

The imports that a command needs happen when it runs.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Sequence
from importlib.metadata import version

from unfold._listing import entries
from unfold.errors import UnfoldError
from unfold.registry.catalog import HOME, one_scan
from unfold.registry.kinds import function

from ._common import (
    DEFAULT_MODEL,
    CommandError,
    add_device,
    declare,
    find_device,
    model_spec,
    positive_int,
    ready,
)
from ._help import Parser

__all__ = [
    "DEFAULT_MODEL", "CommandError", "add_device", "declare", "find_device", "main", "model_spec",
    "positive_int", "ready",
]  # fmt: skip

_CHAPTERS = {
    "photos": ("restore", "kernel", "trace", "demo", "journal"),
    "models": ("list", "explain", "certify", "train", "convert"),
    "data and measurements": ("synthesize", "evaluate", "table", "bench"),
    "plugins": ("plugins", "schema"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``unfold ARGUMENTS``.

    Args:
        argv: the arguments; by default those of the process.

    Returns:
        The exit status. 0: everything was done. 1: a part failed, and the rest was done. 2: nothing
        was done, because of an error such as a wrong argument. 130: stopped by Ctrl-C.

    Example:
        >>> from unfold.cli import main
        >>> main(["explain", "identity"])
        image = input
        0
    """
    argv = [*(sys.argv[1:] if argv is None else argv)]
    try:
        with one_scan():
            return _run(argv)
    except KeyboardInterrupt:
        print("unfold: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has closed the pipe, as in `unfold list | head`
        sys.stderr.close()
        return 0
    except UnfoldError as error:
        print(f"unfold: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        problem = f"{error.filename}: cannot be read or written ({error.strerror})"
        remedy = "check the path, its permissions and the space on the disk"
        print(f"unfold: {problem}; {remedy}", file=sys.stderr)
        return 2


def _run(argv: list[str]) -> int:
    if argv in (["-h"], ["--help"]):
        print(_overview())
        return 0
    if argv == ["--version"]:
        print(f"unfold {version(HOME)}")
        return 0
    if not argv or argv[0].startswith("-"):
        print(_overview(), file=sys.stderr)
        if argv:
            print(f"\nunfold: {argv[0]}: the first argument must be a command", file=sys.stderr)
        return 2
    arguments = parser_of(argv[0]).parse_args(argv[1:])
    arguments.command_line = argv  # for reports
    return arguments.run(arguments)


def parser_of(name: str) -> Parser:
    """The parser of a command's arguments. Imports this command only."""
    add = function("commands", name)
    parser = Parser(prog=f"unfold {name}", about=inspect.getdoc(add))
    add(parser)
    return parser


def _overview() -> str:
    """The page that ``unfold`` prints: every command with its summary. Imports no command."""
    summaries = {e.call: e.describe().rstrip(".") for e in entries("commands") if e.call}
    known = {name for names in _CHAPTERS.values() for name in names}
    brought = [name for name in summaries if name not in known]
    lines = ["usage: unfold COMMAND ...", "", "Unrolled image restoration."]
    for title, names in (*_CHAPTERS.items(), ("from plugins", brought)):
        there = [name for name in names if name in summaries]
        lines += ["", f"{title}:"] if there else []
        for name in there:
            line = f"  {name:<12} {summaries[name][:1].lower()}{summaries[name][1:]}"
            lines += textwrap.wrap(line, 80, subsequent_indent=" " * 15)
    lines += ["", "`unfold COMMAND --help` explains a command; `unfold list` lists all components."]
    return "\n".join(lines)
