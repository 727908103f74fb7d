"""The evaluation of a model on a data set, photo by photo."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unfold._heap import kept_heap
from unfold.datasets import Pair
from unfold.errors import InputError
from unfold.imaging import read
from unfold.metrics import Metric
from unfold.models.fast import synchronize
from unfold.models.weights import tensors_digest
from unfold.registry.spec import Spec, resolve
from unfold.restoration import read_kernel
from unfold.restorer import Restorer

from .errors import EvaluationError
from .pictures import Pictures
from .protocol import Measure, Protocol, find_protocol
from .provenance import environment, files, providers, registered_name
from .report import Report, Row

FAILURES = (ValueError, RuntimeError, OSError, MemoryError)


@dataclasses.dataclass(frozen=True)
class _Instrument:
    """A measure of the protocol and its metric."""

    measure: Measure
    spec: Spec
    metric: Metric


@kept_heap()
def evaluate(
    model: Restorer,
    dataset: Sequence[Pair],
    protocol: str | Protocol,
    *,
    device: torch.device | str = "cpu",
    limit: int | None = None,
    save_images: str | os.PathLike[str] | None = None,
    also: Sequence[str] = (),
    without: Sequence[str] = (),
    weights: Mapping[str, str | os.PathLike[str]] | None = None,
    on_row: Callable[[Row], None] | None = None,
) -> Report:
    """Restore and measure every photo of a data set.

    A photo that cannot be read, restored or measured becomes a row with an error; the evaluation
    continues. Photos without a target are measured by the metrics that need none. If the data set
    has the kernel of the blur, it is given to the model. Ctrl-C ends the evaluation: the report so
    far is returned, with ``complete=False``.

    The time is that of the model for one photo at a time, synchronized with the device before and
    after. The first photo is a warm-up, whose time is not counted.

    Args:
        model: the model with its final parameters; nothing is trained or loaded here.
        dataset: any sequence of pairs; the errors of an `unfold.datasets.Dataset` become rows too.
        protocol: a protocol, or its name.
        device: device of the model and the metrics.
        limit: number of photos to measure, from the first; None for all.
        save_images: a folder for the restored pictures, as PNG with the names of the photos. It is
            new, empty, or of an earlier evaluation, whose pictures are replaced.
        also: names of metrics to report in addition to the protocol's, with default options.
        without: names of the protocol's metrics to leave out.
        weights: metric -> file, for the metrics that need a file.
        on_row: called with each row when it is complete.

    Raises:
        ProtocolError, ComponentError: if no protocol or metric has that name.
        MetricError: if a metric lacks its weights.
        EvaluationError: if no metric is left, a name matches none of them, the folder for pictures
            contains other files, or another process uses it.
        OSError: if the folder for pictures cannot be created.

    Example:
        >>> import tempfile, torch, unfold
        >>> from pathlib import Path
        >>> from unfold.datasets import Pair
        >>> from unfold.evaluation import Measure, Protocol, evaluate
        >>> from unfold.imaging import Photo, write
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pair = Pair("one", Path(folder, "dark.png"), Path(folder, "light.png"))
        ...     write(pair.input, Photo(torch.full((3, 8, 8), 0.2)))
        ...     write(pair.target, Photo(torch.full((3, 8, 8), 0.6)))
        ...     psnr = Protocol("psnr-only", 1, "", (Measure("psnr"),))
        ...     report = evaluate(unfold.create_model("identity"), [pair], psnr)
        >>> round(report.rows[0].values["psnr"], 2)
        7.96
    """
    device = torch.device(device)
    protocol = find_protocol(protocol) if isinstance(protocol, str) else protocol
    instruments = _instruments(protocol, also, without, weights or {}, device)
    pairs = dataset[:limit]
    if pairs and all(p.target is None for p in pairs):
        instruments = [i for i in instruments if not i.metric.needs_reference]
        if not instruments:
            raise EvaluationError(
                f"the photos have no targets, and every metric of {protocol.name} compares with "
                "one; add one that does not, such as niqe (--also niqe)"
            )
    pictures = None if save_images is None else Pictures(Path(save_images), pairs, dataset)
    model = model.to(device).eval()
    facts = {i.measure.metric: _facts(i) for i in instruments}
    rows = [Row("", error=problem) for problem in getattr(dataset, "errors", ())]
    tell = on_row or (lambda row: None)
    for row in rows:
        tell(row)
    complete, warm = True, False
    with contextlib.nullcontext() if pictures is None else pictures.held():
        try:
            for pair in pairs:
                row = _row(pair, model, protocol, instruments, device, pictures)
                if row.seconds is not None and not warm:
                    row, warm = dataclasses.replace(row, warm_up=True), True
                rows.append(row)
                tell(row)
        except KeyboardInterrupt:
            complete = False
    return Report(
        protocol={**protocol.facts(), "also": list(also), "without": list(without)},
        model={"name": type(model).__name__, "config": None, **_training(model)},
        dataset={
            "kind": registered_name("datasets", type(dataset)),
            "root": str(getattr(dataset, "root", "")),
            "split": getattr(dataset, "split", ""),
            "count": len(dataset),
            "limit": limit,
        },
        metrics=facts,
        environment={
            **environment(device),
            "providers": providers([i.spec for i in instruments]),
        },
        rows=rows,
        complete=complete,
    )


def _training(model: Restorer) -> dict[str, Any]:
    """Whether a model requires training, and if so whether its weights are trained."""
    parameters = sum(p.numel() for p in model.parameters())
    learned = parameters > 0
    return {
        "parameters": parameters,
        "learned": learned,
        "trained": learned and not model.requires_training,
    }


def _instruments(
    protocol: Protocol,
    also: Sequence[str],
    without: Sequence[str],
    weights: Mapping[str, str | os.PathLike[str]],
    device: torch.device,
) -> list[_Instrument]:
    measures = {m.metric: m for m in protocol.measures}
    known = f"{protocol.name} has {', '.join(measures)}"
    for name in also:
        if name in measures:
            raise EvaluationError(f"{name!r} is added, but {known}; do not add it")
        measures[name] = Measure(name)
    for name in without:
        if measures.pop(name, None) is None:
            raise EvaluationError(f"{name!r} cannot be left out: {known}")
    for name in weights:
        if name not in measures:
            raise EvaluationError(f"weights are given for {name!r}, which is not measured: {known}")
    if not measures:
        raise EvaluationError(f"no metric is left to measure: {known}")
    return [_build(measure, weights.get(name), device) for name, measure in measures.items()]


def _build(
    measure: Measure, weights: str | os.PathLike[str] | None, device: torch.device
) -> _Instrument:
    config: dict[str, Any] = {"kind": measure.metric, **measure.options}
    spec = resolve("metrics", measure.metric)
    if weights is not None:
        if "weights" not in type(spec).model_fields:
            raise EvaluationError(f"{measure.metric} takes no weights; leave them out")
        config["weights"] = weights
    spec = resolve("metrics", config)
    return _Instrument(measure, spec, spec.build().to(device).eval())


def _facts(instrument: _Instrument) -> dict[str, Any]:
    metric = instrument.metric
    return {
        "unit": metric.unit,
        "better": metric.better,
        "config": instrument.spec.model_dump(mode="json"),
        "files": files(instrument.spec),
        # Weights may also come from a cache, or with a package.
        "tensors_sha256": tensors_digest(metric),
    }


def _row(
    pair: Pair,
    model: Restorer,
    protocol: Protocol,
    instruments: Sequence[_Instrument],
    device: torch.device,
    pictures: Pictures | None,
) -> Row:
    try:
        done = restore_pair(pair, model, protocol, device)
    except FAILURES as error:
        return Row(pair.name, error=_line(error))
    restored, seconds = done.restored, done.seconds
    values, errors = _measure(restored, done.target, protocol, instruments)
    if pictures is not None:
        try:
            pictures.save(pair, restored, protocol)
        except FAILURES as error:
            errors.append(_line(error))
    height, width = restored.shape[-2:]
    return Row(pair.name, values, seconds, (height, width), error="; ".join(errors))


@dataclasses.dataclass(frozen=True)
class RestoredPair:
    """A restored pair of a data set: pictures ``(1, 3, H, W)``, prepared by the protocol."""

    image: Tensor
    restored: Tensor
    target: Tensor | None
    seconds: float


def restore_pair(
    pair: Pair, model: Restorer, protocol: Protocol, device: torch.device
) -> RestoredPair:
    """Read a pair and restore its input.

    Raises:
        ImageError, ValueError, RuntimeError: if it cannot be read, or the model fails.
    """
    image = protocol.before(read(pair.input).image[None].to(device))
    target = None
    if pair.target is not None:
        target = protocol.before(read(pair.target).image[None].to(device))
        if target.shape != image.shape:
            have, want = (f"{t.shape[-1]}×{t.shape[-2]}" for t in (image, target))
            raise InputError(f"the input is {have} pixels and its target {want}")
    kernel = None if pair.kernel_path is None else read_kernel(pair.kernel_path).to(device)
    restored, seconds = _timed(model, image, kernel, device)
    return RestoredPair(image, protocol.after(restored), target, seconds)


@torch.inference_mode()
def _timed(
    model: Restorer, image: Tensor, kernel: Tensor | None, device: torch.device
) -> tuple[Tensor, float]:
    synchronize(device)
    begin = time.perf_counter()
    restored = model(image, kernel=kernel).image
    synchronize(device)
    return restored, time.perf_counter() - begin


def _measure(
    restored: Tensor, target: Tensor | None, protocol: Protocol, instruments: Sequence[_Instrument]
) -> tuple[dict[str, float], list[str]]:
    """The values that could be measured, and the errors of the others."""
    values: dict[str, float] = {}
    errors: list[str] = []
    for instrument in instruments:
        name, needs = instrument.measure.metric, instrument.metric.needs_reference
        if needs and target is None:
            continue
        try:
            pictures = [restored, target] if needs and target is not None else [restored]
            prepared = [instrument.measure.prepare(protocol.inner(p)) for p in pictures]
            value = instrument.metric(*prepared).item()
            if math.isnan(value):
                raise InputError("its value is not a number")
            values[name] = value
        except FAILURES as error:
            errors.append(f"{name}: {_line(error)}")
    return values, errors


def _line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:500]
