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
    declare,
    find_device,
    model_spec,
    positive_int,
    ready,
)


def add(parser: argparse.ArgumentParser) -> None:
    """Try the models in a browser.

    Serves a page on which photos are uploaded, restored and inspected. Every visitor can run every
    installed model with any options, which may contain paths of this machine: listen on localhost
    only (the default), or on a network of trusted users.

    Example:
        unfold app --port 8000
    """
    declare(parser, "--model NAME", "a config, a trained folder or a cascade to add to the "
            "installed models; the first is selected", repeat=True, dest="models")  # fmt: skip
    declare(parser, "--host ADDRESS", "address to listen on", default="127.0.0.1")
    declare(parser, "--port N", "port to listen on; 0: any free port", type=int, default=7860)
    add_device(parser)
    limits = (
        ("--max-upload MB", 50, "refuse larger files, in megabytes"),
        ("--max-pixels N", 30_000_000, "refuse photos with more pixels"),
        ("--max-stages N", 50, "refuse models with more stages"),
        ("--max-seconds N", 300, "end a restoration that takes longer, in seconds"),
    )
    for names, most, help in limits:
        declare(parser, names, help, type=positive_int, default=most)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    import unfold

    from .restoring import Limits
    from .serve import serve

    for name in arguments.models:
        model_spec(name, [])  # a wrong name is reported at once
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
    """A model for the page, with its shipped weights if there are some."""
    from unfold.registry import ComponentError

    assignments = [f"{key}={json.dumps(value)}" for key, value in options.items()]
    try:
        model = model_spec(name, assignments, pretrained=True).build()
        return model if untrained else ready(name, model)
    except CommandError as error:
        raise ComponentError(str(error)) from error
