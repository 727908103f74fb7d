"""``unfold app``: the models in a browser."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from unfold.cli import (
    DEFAULT_MODEL,
    CommandError,
    add_device,
    find_device,
    model_spec,
    positive_int,
    ready,
)


def add(parser: argparse.ArgumentParser) -> None:
    """Try the models in a browser.

    Serves a page on which photos are uploaded, restored and looked into. Whoever reaches it can run
    every installed model with any options, which may name files of this machine: listen on
    localhost only (the default), or where everybody is trusted.

    Example:
        unfold app --port 8000
    """
    parser.add_argument(
        "--model", action="append", default=[], metavar="NAME", dest="models",
        help="a config, a trained folder or a cascade to offer beside what is installed "
        "(repeatable; the first is selected)",
    )  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="to listen on")
    parser.add_argument(
        "--port", type=int, default=7860, metavar="N", help="to listen on; 0 is any that is free"
    )
    add_device(parser)
    parser.add_argument(
        "--max-upload", type=positive_int, default=50, metavar="MB",
        help="refuse larger files, in megabytes",
    )  # fmt: skip
    parser.add_argument(
        "--max-pixels", type=positive_int, default=30_000_000, metavar="N",
        help="refuse photos of more pixels",
    )  # fmt: skip
    parser.add_argument(
        "--max-stages", type=positive_int, default=50, metavar="N",
        help="refuse models of more stages",
    )  # fmt: skip
    parser.add_argument(
        "--max-seconds", type=positive_int, default=300, metavar="N",
        help="end a restoration that takes longer, in seconds",
    )  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    import unfold

    from .restoring import Limits
    from .serve import serve

    for name in arguments.models:
        model_spec(name, [])  # a wrong one is told now
    installed = [name for name in unfold.list("models") if name != "trained"]
    models = dict.fromkeys([*arguments.models, DEFAULT_MODEL, *installed])
    serve(
        make_model,
        [*models],
        host=arguments.host,
        port=arguments.port,
        device=find_device(arguments.device),
        limits=Limits(
            arguments.max_upload,
            arguments.max_pixels,
            arguments.max_stages,
            arguments.max_seconds,
        ),
    )
    return 0


def make_model(name: str, options: Mapping[str, Any], untrained: bool):
    """A model for the page, with its bundled weights where there are some."""
    from unfold.registry import ComponentError

    assignments = [f"{key}={json.dumps(value)}" for key, value in options.items()]
    try:
        model = model_spec(name, assignments, pretrained=True).build()
        return model if untrained else ready(name, model)
    except CommandError as error:
        raise ComponentError(str(error)) from error
