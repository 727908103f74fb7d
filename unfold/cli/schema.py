"""``unfold schema``: a JSON schema of all installed options, for editors."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ._common import CommandError


def add(parser: argparse.ArgumentParser) -> None:
    """Write a JSON schema of every installed component's options."""
    parser.description = (
        "Write a JSON schema of a model and of every component that it may hold, so "
        "that an editor completes and checks configs. Components that are broken are left out "
        "and named."
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: print it")
    parser.add_argument(
        "--seconds", type=float, default=30, help="limit for each plugin (default: %(default)g)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from unfold.registry.schema import schema

    found, faults = schema(seconds=arguments.seconds)
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    for fault in faults:
        print(f"unfold: left out: {fault}", file=sys.stderr)
    if arguments.output is None:
        print(text, end="")
        return 0
    try:
        arguments.output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{arguments.output}: cannot be written ({error.strerror})") from error
    return 0
