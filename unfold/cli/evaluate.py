"""``unfold evaluate``: measures a model on a data set by a named protocol."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._common import (
    CommandError,
    add_device,
    add_model,
    declare,
    find_device,
    model_spec,
    parse_options,
    ready,
    say,
)

if TYPE_CHECKING:
    from unfold.datasets import Dataset
    from unfold.evaluation import Report
    from unfold.evaluation.comparison import Comparison
    from unfold.registry.spec import Spec
    from unfold.restorer import Restorer


def add(parser: argparse.ArgumentParser) -> None:
    """Measure a model on a data set.

    Restores every photo and measures it by a named protocol. A file that fails becomes a row with
    the error; the others are still measured, and the exit status is 1. Ctrl-C ends the command
    early and keeps the measurements so far.

    Example:
        unfold evaluate --model jude-classic --data LOL --dataset lol \\
            --protocol lol -o lol.json -o lol.html
    """
    declare(parser, "-o --output FILE", "a report (.json, .csv, .md), or a page of the worst, the "
            "median and the best photo (.html) (default: none)", repeat=True)  # fmt: skip
    declare(parser, "--save-images DIR", "write the measured images into this folder, as PNG; it "
            "must be new, empty, or of an earlier evaluation")  # fmt: skip
    add_device(parser)
    declare(parser, "--swap OPTION=NAME", "measure the model once with each installed component "
            "that matches, and print one table: 'prior=*', 'noise=*', 'denoiser.prior=deepinv-*'; "
            "a component that does not fit, or a model that requires training, is a line with the "
            "reason")  # fmt: skip
    add_model(parser, "one of `unfold list models`, a config (.json, .toml), or a cascade, as in "
              "'jude-classic -> jude-classic'; identity measures the input",
              required=True)  # fmt: skip
    data = parser.add_argument_group("data")
    declare(data, "--data DIR", "folder of the data set", required=True)
    declare(data, "--dataset KIND", "one of `unfold list datasets`", required=True)
    declare(data, "--split NAME", "split of the data set (default: its test split)", default="")
    declare(data, "--set-data KEY=VALUE", "set an option of the data set, e.g. input=low",
            repeat=True, dest="data_options")  # fmt: skip
    declare(data, "--limit N", "measure only the first N photos (default: all)")
    metrics = parser.add_argument_group("metrics")
    declare(metrics, "--protocol NAME", "one of `unfold list protocols`", required=True)
    declare(metrics, "--also METRIC", "also measure this one of `unfold list metrics`",
            repeat=True)  # fmt: skip
    declare(metrics, "--without METRIC", "leave out a metric of the protocol", repeat=True)
    declare(metrics, "--weights METRIC=FILE", "the weight file that a metric needs, e.g. "
            "lpips=alexnet-owt-7be5be79.pth", repeat=True)  # fmt: skip
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from unfold.evaluation import ReportError, find_protocol
    from unfold.evaluation.markdown import one_line
    from unfold.evaluation.page import check_page, write_page
    from unfold.evaluation.report import check_target

    pages = [path for path in arguments.output if path.suffix == ".html"]
    reports = [path for path in arguments.output if path not in pages]
    for path in arguments.output:
        check_page(path) if path in pages else check_target(path)
    find_protocol(arguments.protocol)
    if arguments.swap is not None:
        return _compare(arguments)
    spec = model_spec(
        arguments.model, arguments.options, pretrained=True, strength=arguments.strength
    )
    dataset = _dataset(arguments)
    model = ready(arguments.model, spec.build())
    report = _measure(arguments, spec, model, dataset)
    # Written before anything is printed, since printing to a closed pipe fails.
    written = _write(report, reports)
    for path in pages:
        try:
            write_page(path, report, model, dataset, protocol=arguments.protocol,
                       device=find_device(arguments.device))  # fmt: skip
        except ReportError as error:
            print(f"unfold: {one_line(str(error))}", file=sys.stderr)
        else:
            written.append(f"wrote {one_line(str(path))}")
    say("\n".join((report.title(), "", report.text(), *written)) + "\n")
    if not report.complete:
        return 130
    return 1 if report.failed or len(written) < len(arguments.output) else 0


def _compare(arguments: argparse.Namespace) -> int:
    """Measure the model with each component; returns the exit status."""
    from ._swapping import compare

    if arguments.save_images or any(path.suffix == ".html" for path in arguments.output):
        raise CommandError(
            "--swap cannot be combined with --save-images or an .html output: it measures several "
            "models"
        )
    dataset = _dataset(arguments)
    found = compare(arguments, lambda spec, model: _measure(arguments, spec, model, dataset))
    written = _write(found, arguments.output)
    say("\n".join((found.title(), "", found.text(), *written)) + "\n")
    if not found.complete:
        return 130
    return 1 if found.failed or len(written) < len(arguments.output) else 0


def _write(report: Report | Comparison, paths: list[Path]) -> list[str]:
    """Write a report to files; returns a line for each file that could be written."""
    from unfold.evaluation import ReportError
    from unfold.evaluation.markdown import one_line

    written = []
    for path in paths:
        try:
            report.write(path)
        except ReportError as error:
            print(f"unfold: {one_line(str(error))}", file=sys.stderr)
        else:
            written.append(f"wrote {one_line(str(path))}")
    return written


def _measure(
    arguments: argparse.Namespace, spec: Spec, model: Restorer, dataset: Dataset
) -> Report:
    from tqdm import tqdm

    from unfold.evaluation import Row, evaluate
    from unfold.evaluation.markdown import one_line
    from unfold.evaluation.provenance import files, inner_config, providers

    device = find_device(arguments.device)
    known = {
        "name": arguments.model,
        "config": spec.model_dump(mode="json"),
        "inner_config": inner_config(spec),
        "files": files(spec),
    }
    provided = providers(spec)  # before the measurement: files may change during it
    count = len(dataset) if arguments.limit is None else min(arguments.limit, len(dataset))
    with tqdm(total=count, unit="photo", file=sys.stderr, disable=None) as bar:

        def show(row: Row) -> None:
            bar.update(bool(row.name))
            if row.error:
                name = f"{one_line(row.name)}: " if row.name else ""
                bar.write(f"unfold: {name}{one_line(row.error)}", file=sys.stderr)

        report = evaluate(
            model,
            dataset,
            arguments.protocol,
            device=device,
            limit=arguments.limit,
            save_images=arguments.save_images,
            also=arguments.also,
            without=arguments.without,
            weights=_weights(arguments.weights),
            on_row=show,
        )
    environment = dict(report.environment)
    environment["providers"] = {**environment["providers"], **provided}
    environment["command"] = shlex.join(["unfold", *arguments.command_line])
    return dataclasses.replace(
        report,
        model={**report.model, **known},
        dataset={**report.dataset, "kind": arguments.dataset, "options": _data_options(arguments)},
        environment=environment,
    )


def _dataset(arguments: argparse.Namespace) -> Dataset:
    """The data set; files that cannot be used are reported later, one by one."""
    from unfold.datasets import DataError
    from unfold.registry.spec import spec_of, spec_type

    config: dict[str, Any] = {"kind": arguments.dataset, **_data_options(arguments)}
    if "strict" in spec_type("datasets", arguments.dataset).model_fields:
        config = {"strict": False, **config}
    spec = spec_of("datasets", config)
    try:
        return spec.build(arguments.data, arguments.split)
    except DataError as error:
        there = [] if arguments.split else _splits(spec, arguments.data)
        hint = f"\n  splits with photos: {', '.join(f'--split {s}' for s in there)}"
        raise CommandError(f"{error}{hint if there else ''}") from error


def _splits(spec: Spec, root: Path) -> list[str]:
    """The splits for which a folder has photos."""
    from unfold.datasets import DataError

    there = []
    for split in getattr(type(spec).component, "splits", ()):
        with contextlib.suppress(DataError):
            spec.build(root, split)
            there.append(split)
    return there


def _data_options(arguments: argparse.Namespace) -> dict[str, Any]:
    return parse_options(arguments.data_options, {})


def _weights(assignments: list[str]) -> dict[str, str]:
    pairs = [assignment.partition("=") for assignment in assignments]
    for name, equals, file in pairs:
        if not (name and equals and file):
            raise CommandError(
                f"--weights {name}{equals}{file}: must be METRIC=FILE, e.g. lpips=alexnet.pth"
            )
    return {name: file for name, _, file in pairs}
