"""The command line: parse, call, print. What a command needs is imported when it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from unfold.registry.catalogue import ComponentError

from . import (
    app,
    bench,
    convert,
    demo,
    evaluate,
    explain,
    kernel,
    ledger,
    listing,
    plugins,
    restore,
    schema,
    synthesize,
    table,
    trace,
    train,
)
from ._common import CommandError


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``unfold ARGUMENTS``; returns the exit status.

    0: done. 1: some of it failed, the rest is done. 2: nothing was done (a wrong command).
    """
    parser = argparse.ArgumentParser(
        prog="unfold", description="Unrolled image restoration: restore photos, see what is there."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    modules = (
        demo,
        restore,
        kernel,
        ledger,
        trace,
        app,
        evaluate,
        bench,
        train,
        listing,
        explain,
        plugins,
        schema,
        synthesize,
        table,
        convert,
    )
    for command in modules:
        command.add(commands)
    arguments = parser.parse_args(argv)
    arguments.command_line = list(sys.argv[1:] if argv is None else argv)  # for reports
    try:
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print("unfold: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output is gone, as in `unfold list | head`
        sys.stderr.close()
        return 0
    except (ComponentError, CommandError) as error:
        print(f"unfold: {error}", file=sys.stderr)
        return 2
