"""A report as a page to look at: the worst photo, the median one, the best."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from unfold._files import replace_file
from unfold.core import Restorer
from unfold.datasets import Pair
from unfold.imaging.embed import data_url

from .markdown import one_line
from .protocol import Protocol, find_protocol
from .report import Report, ReportError, Row, check_place
from .runner import FAILURES, Restored, restore_pair

_ZOOM = 96  # pixels of the part that is shown enlarged
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1400px;
  padding: 0 1rem; color: #222; background: #fff }
h1 { font-size: 1.4rem } h2 { font-size: 1.15rem; margin: 2rem 0 .3rem }
.row { display: flex; gap: .5rem; flex-wrap: wrap } figure { margin: 0 0 .5rem }
figure img { display: block; height: 300px; max-width: 100% }
img.zoom { image-rendering: pixelated; width: 192px; height: 192px; margin-top: .3rem }
figcaption, .note { color: #666; font-size: .85rem } pre { overflow-x: auto }
td, th { padding: .15rem .8rem .15rem 0; text-align: right; font-variant-numeric: tabular-nums }
td:first-child, th:first-child { text-align: left }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } }
"""


def write_page(
    path: str | os.PathLike[str],
    report: Report,
    model: Restorer,
    dataset: Sequence[Pair],
    *,
    protocol: str | Protocol,
    device: torch.device | str = "cpu",
) -> None:
    """Write a page, ``.html``, that needs no other file.

    The worst, the median and the best photo by the report's first metric are restored again, and
    shown beside input and target, with the part enlarged that the model changed most.

    Args:
        path: of the page; its folder exists.
        report: what `evaluate` found.
        model, dataset, protocol, device: as `evaluate` was given them.

    Raises:
        ReportError: the page cannot be written.
    """
    protocol = find_protocol(protocol) if isinstance(protocol, str) else protocol
    path, device = check_page(path), torch.device(device)
    pairs = {pair.name: pair for pair in dataset}
    model = model.to(device).eval()
    body = [f"<h1>{escape(one_line(report.title()))}</h1>", f"<pre>{escape(report.text())}</pre>"]
    for label, row in notable(report).items():
        body.append(f"<h2>{label}: {escape(one_line(row.name))}</h2>{_values(report, row)}")
        try:
            body.append(_figures(restore_pair(pairs[row.name], model, protocol, device)))
        except FAILURES as error:  # the file has changed since
            body.append(f"<p>{escape(one_line(str(error)))}</p>")
    body += ["<h2>All photos</h2>", _table(report)]
    page = (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        f"<title>{escape(one_line(report.title()))}</title><style>{_STYLE}</style>\n"
        + "\n".join(body) + "\n</html>\n"
    )  # fmt: skip
    try:
        replace_file(path, page.encode(errors="backslashreplace"))
    except OSError as error:
        raise ReportError(f"{path}: cannot be written ({error.strerror or error})") from error


def check_page(path: str | os.PathLike[str]) -> Path:
    """Refuse a page's path before anything is measured for it.

    Raises:
        ReportError: it does not end in .html, or its folder is not there or not to be written to.
    """
    path = Path(path)
    if path.suffix != ".html":
        raise ReportError(f"{path}: a page ends in .html")
    check_place(path)
    return path


def notable(report: Report) -> Mapping[str, Row]:
    """``"worst"``, ``"median"``, ``"best"`` -> row, by the first metric; fewer of few photos."""
    metric = next(iter(report.metrics), "")
    rows = [row for row in report.rows if metric in row.values]
    higher = report.metrics[metric]["better"] == "higher" if rows else True
    rows.sort(key=lambda row: row.values[metric], reverse=not higher)
    if len(rows) < 3:
        return {("worst", "best")[i]: row for i, row in enumerate(rows)}
    return {"worst": rows[0], "median": rows[(len(rows) - 1) // 2], "best": rows[-1]}


def _figures(found: Restored) -> str:
    pictures = {"input": found.image, "output": found.restored, "target": found.target}
    there = {n: p[0].float().cpu().clamp(0, 1) for n, p in pictures.items() if p is not None}
    rows, columns = _changed_most(there["input"], there["output"])
    figures = "".join(
        f'<figure><img alt="{name}" src="{data_url(picture, 1000)}"><img class=zoom '
        f'alt="part of the {name}" src="{data_url(picture[:, rows, columns], _ZOOM)}">'
        f"<figcaption>{name}</figcaption></figure>"
        for name, picture in there.items()
    )
    return f"<div class=row>{figures}</div>"


def _changed_most(image: Tensor, restored: Tensor) -> tuple[slice, slice]:
    """The window in which the model has changed the contrast most (not just the brightness)."""
    height, width = image.shape[-2:]
    side = min(_ZOOM, height, width)
    change = (_detail(restored) - _detail(image)).abs()[None, None]
    sums = avg_pool2d(change, side, stride=max(1, side // 4))[0, 0]
    best = int(sums.argmax())
    step = max(1, side // 4)
    top, left = step * (best // sums.shape[1]), step * (best % sums.shape[1])
    return slice(top, top + side), slice(left, left + side)


def _detail(picture: Tensor) -> Tensor:
    """What is left of the luminance without its surroundings, relative to its spread."""
    grey = picture.mean(0)
    if min(grey.shape) < 9:
        return grey
    around = avg_pool2d(grey[None, None], 9, stride=1, padding=4, count_include_pad=False)[0, 0]
    return (grey - around) / grey.std(correction=0).clamp_min(1e-6)


def _values(report: Report, row: Row) -> str:
    values = [f"{n} {row.values[n]:.4g} {report.metrics[n].get('unit') or ''}".strip()
              for n in report.metrics if n in row.values]  # fmt: skip
    return f"<p class=note>{escape(', '.join(values))}</p>"


def _table(report: Report) -> str:
    head = "".join(f"<th>{escape(c)}</th>" for c in ("photo", *report.metrics, "seconds", ""))
    lines = []
    for row in report.rows:
        values = [row.values.get(name) for name in report.metrics] + [row.seconds]
        cells = [one_line(row.name), *("–" if v is None else f"{v:.4g}" for v in values), row.error]
        lines.append("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in cells) + "</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"
