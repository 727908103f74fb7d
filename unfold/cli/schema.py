"""``unfold schema``: a JSON schema of all installed options, for editors."""

from __future__ import annotations

import argparse
import json
import sys

from ._common import add_output, add_seconds, check_output, put


def add(parser: argparse.ArgumentParser) -> None:
    """Write a JSON schema of every installed component's options.

    With the schema, an editor completes and checks the configs of models. Broken components are
    left out, and are named on standard error.

    Example:
        unfold schema -o unfold.schema.json
    """
    add_output(parser, "the JSON schema")
    add_seconds(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from unfold.registry.schema import schema

    check_output(arguments.output)
    found, errors = schema(seconds=arguments.seconds)
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    for problem in errors:
        print(f"unfold: left out: {problem}", file=sys.stderr)
    put(text, arguments.output)
    return 0
