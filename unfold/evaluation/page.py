"""A report as an HTML page with the worst, the median and the best photo."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from unfold._files import one_line, replace_file
from unfold.datasets import Pair
from unfold.pages import render
from unfold.restorer import Restorer

from .protocol import Protocol, find_protocol
from .report import Report, ReportError, Row, check_place
from .runner import FAILURES, restore_pair

_ZOOM = 96  # pixels of the part that is shown enlarged


def write_page(
    path: str | os.PathLike[str],
    report: Report,
    model: Restorer,
    dataset: Sequence[Pair],
    *,
    protocol: str | Protocol,
    device: torch.device | str = "cpu",
) -> None:
    """Write a self-contained ``.html`` page.

    The worst, the median and the best photo by the report's first metric are restored again and
    shown beside input and target. The region that the model changed most is enlarged.

    Args:
        path: path of the page, in an existing folder.
        report: the result of `evaluate`.
        model, dataset, protocol, device: the arguments that were given to `evaluate`.

    Raises:
        ReportError: if the page cannot be written.
    """
    protocol = find_protocol(protocol) if isinstance(protocol, str) else protocol
    path, device = check_page(path), torch.device(device)
    pairs = {pair.name: pair for pair in dataset}
    model = model.to(device).eval()
    page = render(
        "evaluation.html",
        title=one_line(report.title()),
        text=report.text(),
        photos=[
            {"label": label, "name": one_line(row.name), "scores": _scores(report, row)}
            | _pictures(pairs[row.name], model, protocol, device)
            for label, row in notable(report).items()
        ],
        zoom=_ZOOM,
        head=["photo", *report.metrics, "seconds", ""],
        rows=[_cells(report, row) for row in report.rows],
    )
    try:
        replace_file(path, page.encode(errors="backslashreplace"))
    except OSError as error:
        raise ReportError(f"{path}: cannot be written ({error.strerror or error})") from error


def check_page(path: str | os.PathLike[str]) -> Path:
    """Check the path of a page before the evaluation starts.

    Raises:
        ReportError: if it does not end in .html, or its folder is missing or not writable.
    """
    path = Path(path)
    if path.suffix != ".html":
        raise ReportError(f"{path}: a page ends in .html")
    check_place(path)
    return path


def notable(report: Report) -> Mapping[str, Row]:
    """``"worst"``, ``"median"``, ``"best"`` -> row, by the first metric; fewer for few photos."""
    metric = next(iter(report.metrics), "")
    rows = [row for row in report.rows if metric in row.values]
    higher = report.metrics[metric]["better"] == "higher" if rows else True
    rows.sort(key=lambda row: row.values[metric], reverse=not higher)
    if len(rows) < 3:
        return {("worst", "best")[i]: row for i, row in enumerate(rows)}
    return {"worst": rows[0], "median": rows[(len(rows) - 1) // 2], "best": rows[-1]}


def _pictures(
    pair: Pair, model: Restorer, protocol: Protocol, device: torch.device
) -> dict[str, Any]:
    """The pictures of a photo that is restored again, each whole and in part; or its error."""
    try:
        found = restore_pair(pair, model, protocol, device)
    except FAILURES as error:  # the file has changed since
        return {"error": one_line(str(error))}
    pictures = {"input": found.image, "output": found.restored, "target": found.target}
    there = {n: p[0].float().cpu().clamp(0, 1) for n, p in pictures.items() if p is not None}
    rows, columns = _changed_most(there["input"], there["output"])
    return {"error": "", "pictures": {n: (p, p[:, rows, columns]) for n, p in there.items()}}


def _changed_most(image: Tensor, restored: Tensor) -> tuple[slice, slice]:
    """The window in which the model changed the contrast most, regardless of brightness."""
    height, width = image.shape[-2:]
    side = min(_ZOOM, height, width)
    change = (_detail(restored) - _detail(image)).abs()[None, None]
    sums = avg_pool2d(change, side, stride=max(1, side // 4))[0, 0]
    best = int(sums.argmax())
    step = max(1, side // 4)
    top, left = step * (best // sums.shape[1]), step * (best % sums.shape[1])
    return slice(top, top + side), slice(left, left + side)


def _detail(picture: Tensor) -> Tensor:
    """The luminance minus its local mean, relative to its spread."""
    gray = picture.mean(0)
    if min(gray.shape) < 9:
        return gray
    around = avg_pool2d(gray[None, None], 9, stride=1, padding=4, count_include_pad=False)[0, 0]
    return (gray - around) / gray.std(correction=0).clamp_min(1e-6)


def _scores(report: Report, row: Row) -> list[str]:
    return [
        f"{name} {row.values[name]:.4g} {metric.get('unit') or ''}".strip()
        for name, metric in report.metrics.items()
        if name in row.values
    ]


def _cells(report: Report, row: Row) -> list[str]:
    """The cells of a row in the table of all photos."""
    values = [row.values.get(name) for name in report.metrics] + [row.seconds]
    return [one_line(row.name), *("–" if v is None else f"{v:.4g}" for v in values), row.error]
