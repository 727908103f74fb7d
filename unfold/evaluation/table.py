"""The tables of papers, with measured numbers beside the printed ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from unfold.errors import UnfoldError
from unfold.registry.catalog import ComponentError
from unfold.registry.spec import resolve

from .errors import no_such
from .found import Found
from .markdown import markdown_table
from .protocol import find_protocol

SELECTION = (
    "Each number is as printed, but not every row and column of the paper is recorded: a dash in a "
    "column of the paper is a number that is not known here, not one that the paper lacks."
)
_DECIMALS = 3  # of a column in which no number of the paper is recorded

# The splits that papers measure on, as the data sets call them; some have but one, without a name.
_TESTED = ("", "test", "eval15")


@dataclass(frozen=True)
class PaperRow:
    """The printed numbers of a method (``""`` for a number that is not recorded here), and the
    config of this method in this library, if there is one."""

    method: str
    values: tuple[str, ...]
    config: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class TableSection:
    """The rows of a table that belong to one data set.

    Attributes:
        dataset: registered name of the data set.
        protocol: name of the protocol of the numbers.
        metrics: names of the columns.
        rows: the methods.
        options: combinations of data set options, other than the defaults, whose reports are also
            comparable with the paper's numbers.
    """

    dataset: str
    protocol: str
    metrics: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    options: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class PaperTable:
    """Numbers of a paper's table, as printed, but not every row and column of the paper."""

    name: str
    title: str
    source: str
    parts: tuple[TableSection, ...]
    notes: tuple[str, ...] = ()


class TableError(UnfoldError, ValueError):
    """Raised if a table does not exist; the message lists the existing ones."""


def find_table(name: str) -> PaperTable:
    """One of `unfold.evaluation.papers.TABLES`.

    Raises:
        TableError: if no table has that name.
    """
    from .papers import TABLES

    if name in TABLES:
        return TABLES[name]
    raise TableError(no_such("table", name, TABLES))


def render(table: PaperTable, reports: Sequence[Found]) -> str:
    """The table as Markdown.

    A report is shown beside the paper's numbers if data set, protocol and version are equal: in the
    row of the method with the same config (also in a folder of trained weights), otherwise in a row
    of its own. The row names the data set options of the measurement. A report of the same data set
    by another protocol, or on other photos of it, is named as not comparable, without its numbers.
    """
    blocks = [f"# {table.title}", f"Paper: {table.source}. {SELECTION}"]
    for part in table.parts:
        blocks += _render_part(part, [r for r in reports if _on(r, part.dataset)])
    return "\n\n".join((*blocks, *table.notes)) + "\n"


def _on(found: Found, dataset: str) -> bool:
    return found.report["dataset"]["kind"].rpartition(":")[2] == dataset


def _render_part(part: TableSection, reports: Sequence[Found]) -> Iterator[str]:
    version = find_protocol(part.protocol).version
    why = {r.path: _obstacle(r.report, part, version) for r in reports}
    ours = [r for r in reports if not why[r.path]]
    others = [r for r in reports if why[r.path]]
    yield f"## {part.dataset}, protocol {part.protocol} (version {version})"
    yield markdown_table(list(_rows(part, ours)))
    if ours:
        yield "\n".join(f"- ours, {r.report['model']['name']}: {r.origin}" for r in ours)
    if others:
        yield "\n".join(
            f"- not comparable, {why[r.path]}: {r.report['model']['name']}, {r.path}"
            for r in others
        )


def _obstacle(report: Mapping[str, Any], part: TableSection, version: int) -> str:
    """Why a report is not comparable with the paper's numbers; empty if it is."""
    used, dataset = report["protocol"], report["dataset"]
    if (used["name"], used["version"]) != (part.protocol, version):
        return f"measured under {used['name']} (version {used['version']})"
    if dataset["split"] not in _TESTED:
        return f"measured on the split {dataset['split']}"
    options = dataset.get("options")
    if options and options not in part.options:
        return f"measured with data set options {options}"
    return ""


def _rows(part: TableSection, ours: Sequence[Found]) -> Iterator[Sequence[str]]:
    """The heads, the paper's rows, and a row for each report of another method."""
    heads = [(metric, "ours") if ours else (metric,) for metric in part.metrics]
    yield ["method", *(head for pair in heads for head in pair)]
    left = list(ours)
    for row in part.rows:
        config = _complete(row.config)
        mine = [r for r in ours if config is not None and _method(r.config) == config]
        left = [r for r in left if r not in mine]
        for number, report in enumerate(mine or [None]):
            printed = row.values if number == 0 else ("",) * len(row.values)
            name = row.method + _with_options(report)
            yield [name, *_cells(part, printed, report, bool(ours))]
    for report in left:
        yield [
            report.report["model"]["name"] + _with_options(report),
            *_cells(part, ("",) * len(part.metrics), report, True),
        ]


def _with_options(report: Found | None) -> str:
    """The data set options of a report, to be appended to the name of its row."""
    options = report.report["dataset"].get("options") if report else None
    return f" ({', '.join(f'{k}={v}' for k, v in options.items())})" if options else ""


def _cells(
    part: TableSection, printed: Sequence[str], report: Found | None, beside: bool
) -> Iterator[str]:
    for i, metric in enumerate(part.metrics):
        yield printed[i] or "–"
        if beside:
            mean = None if report is None else report.mean(metric)
            digits = [len(row.values[i].partition(".")[2]) for row in part.rows if row.values[i]]
            decimals = max(digits, default=_DECIMALS)
            yield "–" if mean is None else f"{mean:.{decimals}f}"


def _complete(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A config with its defaults, as in reports; None if it builds no model here."""
    if config is None:
        return None
    try:
        return _method(resolve("models", config).model_dump(mode="json"))
    except (ComponentError, ValidationError):
        return None


def _method(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A config without the file of its initial weights, which does not define the method."""
    return None if config is None else {k: v for k, v in config.items() if k != "weights"}
