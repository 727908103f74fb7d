"""``unfold bench``: the cost of installed components."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._common import CommandError, add_device, declare, find_device, model_spec, say

if TYPE_CHECKING:
    from unfold.benchmarking import BenchmarkRow, Case, Size

_GROUPS = ("terms", "priors", "stages", "models", "metrics", "imaging", "startup")


def add(parser: argparse.ArgumentParser) -> None:
    """Measure what installed components cost.

    Times every installed term, prior, model and metric, including those of plugins, alternately
    with a bound or baseline, and prints a table. A component that fails becomes a line with the
    reason; the others are still measured, and the exit status is 1. A default run takes some
    minutes on two cores.

    Example:
        unfold bench --group priors --only 'acme-*'
        unfold bench --model jude-small --size 720p -o cost.json
    """
    declare(parser, "-o --output FILE", "all measurements (.json), saved after each row")
    add_device(parser)
    declare(parser, "--size SIZE", "image size in pixels: 256, 720x1280, 720p (default: "
            "256, and 720p for the stationary deconvolution; 128 with --swap)",
            repeat=True)  # fmt: skip
    declare(parser, "--rounds N", "repetitions of each row (default: as many as fit two seconds, "
            "at most 20)")  # fmt: skip
    chosen = parser.add_argument_group("selection")
    declare(chosen, "--group GROUP", f"one of {', '.join(_GROUPS)} (default: all)", repeat=True,
            choices=_GROUPS)  # fmt: skip
    declare(chosen, "--only PATTERN", "measure only names that match, e.g. 'acme-*'", default="*")
    declare(chosen, "--model NAME", "measure this model instead of groups: one of `unfold list "
            "models`, or a config (.json, .toml)", repeat=True, dest="models")  # fmt: skip
    declare(chosen, "--swap OPTION=NAME", "measure each model that has the option, with this "
            "component in it, instead of groups; prior=* tries all priors")  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from unfold.benchmarking import measure
    from unfold.benchmarking.report import machine, text
    from unfold.evaluation.report import check_place
    from unfold.registry.catalog import scan

    device = find_device(arguments.device)
    if arguments.output:
        check_place(arguments.output)  # before minutes are spent on measurements
    chosen = [case for case in _cases(arguments) if device.type == "cpu" or not case.host]
    if not chosen:
        raise CommandError(f"no component to measure matches {arguments.only!r}; see `unfold list`")
    for damage in scan().damaged:
        print(f"unfold: {damage.distribution} cannot be read: {damage.error}", file=sys.stderr)
    facts = machine(device)
    rows: list[BenchmarkRow] = []
    saved = True
    try:
        with tqdm(chosen, file=sys.stderr, disable=None, leave=False) as bar:
            for case in bar:
                bar.set_description(str(case))
                rows.append(measure(case, device, arguments.rounds))
                # Saved after each row, so that a killed run keeps its measurements.
                saved = saved and _save(arguments.output, rows, facts, len(chosen))
    except KeyboardInterrupt:
        print("unfold: stopped; the measurements so far follow", file=sys.stderr)
    complete = len(rows) == len(chosen)
    say(text(rows, facts) + "\n")
    if not complete:
        return 130
    return 1 if not saved or any(row.status == "failed" for row in rows) else 0


def _save(path: Path | None, rows: list[BenchmarkRow], facts: dict[str, Any], chosen: int) -> bool:
    """Write the rows so far. Returns False, and prints the reason, if that fails."""
    from unfold.benchmarking.report import write_json

    if path is None:
        return True
    try:
        write_json(path, rows, facts, complete=len(rows) == chosen)
    except OSError as error:
        print(f"unfold: --output {path}: cannot be written ({error.strerror})", file=sys.stderr)
        return False
    return True


def _cases(arguments: argparse.Namespace) -> list[Case]:
    from unfold.benchmarking import Size, cases

    try:
        sizes = [Size.parse(size) for size in arguments.size]
    except ValueError as error:
        raise CommandError(f"--size: {error}") from error
    if arguments.models:
        return _chosen(arguments, sizes or [Size(256, 256)])
    if not arguments.swap:
        return list(cases(arguments.group or (), sizes, arguments.only))
    if arguments.group:
        raise CommandError("--swap cannot be combined with --group: leave out one of them")
    return list(_swapped(arguments.swap, sizes or [Size(128, 128)], arguments.only))


def _chosen(arguments: argparse.Namespace, sizes: list[Size]) -> list[Case]:
    from unfold.benchmarking import chosen_cases

    if arguments.group or arguments.swap or arguments.only != "*":
        raise CommandError("--model cannot be combined with --group, --swap or --only")
    models = {name: model_spec(name, [], pretrained=True) for name in arguments.models}
    return [case for size in sizes for case in chosen_cases(models, size)]


def _swapped(text: str, sizes: list[Size], only: str) -> list[Case]:
    from fnmatch import fnmatchcase

    from unfold.benchmarking import swap_cases

    found = [case for size in sizes for case in swap_cases(text, size)]
    return [case for case in found if fnmatchcase(case.name, only)]
