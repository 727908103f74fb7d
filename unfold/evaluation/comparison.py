"""One model measured with one component after the other in the same place."""

from __future__ import annotations

import csv
import io
import json
import os
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from unfold._files import one_line
from unfold.errors import UnfoldError
from unfold.metrics import MetricError

from .errors import EvaluationError
from .markdown import markdown_table
from .protocol import ProtocolError
from .report import Report, digits, finite, write_report

FORMAT, FORMAT_VERSION = "unfold-comparison", 1
_REASON = 140  # characters of a reason in a table; the JSON and CSV files have all of it


class NotMeasuredError(UnfoldError):
    """Raised if a component cannot be measured on this machine; the message gives the reason."""


@dataclass(frozen=True)
class Alternative:
    """A component to measure.

    Attributes:
        component: its name.
        provider: the distribution and version that provide it.
        measure: builds the model with the component and evaluates it. It raises `NotMeasuredError`
            if the component does not fit or a requirement is missing; any other exception is a
            failure of the component.
    """

    component: str
    provider: str
    measure: Callable[[], Report]


@dataclass(frozen=True)
class ComparisonEntry:
    """A row of the table.

    Attributes:
        component, provider: as in `Alternative`.
        status: ``"failed"`` also if only some photos failed.
        reason: why the component was not measured, in one line; otherwise empty.
        report: the measurements; None if there are none.
    """

    component: str
    provider: str
    status: Literal["measured", "skipped", "failed"]
    reason: str = ""
    report: Report | None = None

    def summary(self) -> dict[str, Any]:
        """`Report.summary`; empty if nothing was measured."""
        return {} if self.report is None else self.report.summary()

    def mean(self, metric: str) -> float | None:
        """The mean over the photos that could be measured."""
        return self.summary().get("metrics", {}).get(metric, {}).get("mean")

    @property
    def seconds(self) -> float | None:
        """Time of the model for one photo; None if fewer than two photos were restored."""
        return self.summary().get("seconds_per_image")


@dataclass(frozen=True)
class Comparison:
    """The reports of several components in the same option of one model.

    Attributes:
        model: name of the model.
        option: the option whose value is each component in turn.
        protocol: name of the protocol.
        command: the command line, or empty.
        entries: one for each component, in the order of measurement.
        complete: False if it was interrupted.
    """

    model: str
    option: str
    protocol: str
    command: str
    entries: Sequence[ComparisonEntry]
    complete: bool = True

    @property
    def metrics(self) -> Mapping[str, Mapping[str, Any]]:
        """Metric -> its facts; empty if nothing was measured."""
        return next((e.report.metrics for e in self.entries if e.report), {})

    @property
    def failed(self) -> bool:
        """Whether a component failed, or none could be measured."""
        return not self.metrics or any(e.status == "failed" for e in self.entries)

    def ranked(self) -> list[ComparisonEntry]:
        """Sorted by the first metric, best first; entries without a value are last, by name."""
        metric, facts = next(iter(self.metrics.items()), ("", {}))
        sign = -1 if facts.get("better") == "higher" else 1

        def key(entry: ComparisonEntry) -> tuple[bool, float, str]:
            mean = entry.mean(metric)
            return mean is None, sign * (mean or 0), entry.component

        return sorted(self.entries, key=key)

    def title(self) -> str:
        """Model, option and protocol in one line."""
        return f"{self.model} with each {self.option}, protocol {self.protocol}"

    def text(self) -> str:
        """The table."""
        units = {name: facts.get("unit") or "" for name, facts in self.metrics.items()}
        heads = [f"{name} [{unit}]" if unit else name for name, unit in units.items()]
        rows = [("component", "from", *heads, "s a photo", "")]
        for entry in self.ranked():
            values = (digits(entry.mean(metric)) for metric in self.metrics)
            reason = textwrap.shorten(entry.reason, _REASON, placeholder=" ...")
            rows.append((entry.component, entry.provider, *values, digits(entry.seconds), reason))
        lines = [markdown_table(rows)]
        if not self.complete:
            lines += ["", "Incomplete: it was interrupted."]
        return "\n".join(lines)

    def header(self) -> dict[str, Any]:
        """The comparison without its entries."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "complete": self.complete,
            "model": self.model,
            "option": self.option,
            "protocol": self.protocol,
            "command": self.command,
        }

    def json(self) -> str:
        """One ASCII object with the complete report of every component."""
        entries = [
            {
                "component": e.component,
                "provider": e.provider,
                "status": e.status,
                "reason": e.reason,
                "report": None if e.report is None else e.report.document(),
            }
            for e in self.ranked()
        ]
        return json.dumps(finite({**self.header(), "entries": entries}), indent=1)

    def csv(self) -> str:
        """The header as JSON in a comment line, followed by one line for each component."""
        out = io.StringIO()
        out.write(f"# {json.dumps(finite(self.header()))}\n")
        writer = csv.writer(out, lineterminator="\n")
        heads = ("component", "provider", "status", *self.metrics, "seconds", "photos", "failed")
        writer.writerow([*heads, "reason"])
        for entry in self.ranked():
            summary = entry.summary()
            numbers = [*map(entry.mean, self.metrics), entry.seconds]
            counts = [summary.get(name, 0) for name in ("images", "failed")]
            writer.writerow(
                [entry.component, entry.provider, entry.status,
                 *("" if number is None else number for number in numbers), *counts, entry.reason]
            )  # fmt: skip
        return out.getvalue()

    def markdown(self) -> str:
        """The table, the command, the data set and the environment."""
        report = next((e.report for e in self.entries if e.report), None)
        facts = {} if report is None else {
            "dataset": report.dataset, "environment": report.environment
        }  # fmt: skip
        header = json.dumps(finite({**self.header(), **facts}), indent=1)
        return f"# {one_line(self.title())}\n\n{self.text()}\n\n```json\n{header}\n```\n"

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a .json, .csv or .md file atomically.

        Raises:
            ReportError: see `unfold.evaluation.report.check_target`; also if no space is left.
        """
        write_report(path, {".json": self.json, ".csv": self.csv, ".md": self.markdown})


def measure_each(alternatives: Sequence[Alternative]) -> Iterator[ComparisonEntry]:
    """Measure components in turn. The failure of a component is recorded in its row.

    If a report is interrupted, the remaining components are not measured.

    Raises:
        EvaluationError, ProtocolError, MetricError: for errors that concern all components.
    """
    for alternative in alternatives:
        entry = _measure(alternative)
        yield entry
        if entry.report is not None and not entry.report.complete:
            return


def _measure(alternative: Alternative) -> ComparisonEntry:
    name, provider = alternative.component, alternative.provider
    try:
        report = alternative.measure()
    except NotMeasuredError as error:
        return ComparisonEntry(name, provider, "skipped", _line(error))
    except (EvaluationError, ProtocolError, MetricError):
        raise
    except Exception as error:  # a component's code may raise anything
        return ComparisonEntry(name, provider, "failed", f"{type(error).__name__}: {_line(error)}")
    errors = [row.error for row in report.rows if row.name and row.error]
    if not errors:
        return ComparisonEntry(name, provider, "measured", report=report)
    reason = f"{len(errors)} of {len(report.rows)} photos failed: {_line(errors[0])}"
    return ComparisonEntry(name, provider, "failed", reason, report)


def _line(error: object) -> str:
    return " ".join(str(error).split())
