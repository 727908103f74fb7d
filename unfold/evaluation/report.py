"""A report: the numbers of every image, their means, and the information to reproduce them."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unfold._files import replace_file
from unfold.errors import UnfoldError

from .markdown import markdown_table
from .statistics import METHOD, summarize

FORMAT, FORMAT_VERSION = "unfold-report", 1
SUFFIXES = (".json", ".csv", ".md")


class ReportError(UnfoldError, ValueError):
    """Raised if a report cannot be written or read; the message gives the reason.

    Example:
        >>> from unfold.evaluation import read_report
        >>> read_report("nowhere.json")
        Traceback (most recent call last):
            ...
        unfold.evaluation.found.NoReportError: nowhere.json: cannot be read as a report ...
    """


@dataclass(frozen=True)
class Row:
    """One image.

    Attributes:
        name: name of the image in its data set; empty for an error of the data set itself.
        values: metric -> value, for the metrics that could be measured.
        seconds: time of the model, without reading and measuring; None if it did not run.
        size: height and width of the restored picture, or None if there is none.
        warm_up: whether this is the first image of the model, whose time is not counted.
        error: the error in one line, or empty.

    Example:
        >>> from unfold.evaluation import Row
        >>> row = Row("street", {"psnr": 28.3, "ssim": 0.91}, seconds=0.4, size=(720, 1280))
        >>> row.values["psnr"], row.error or "measured"
        (28.3, 'measured')
    """

    name: str
    values: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    size: tuple[int, int] | None = None
    warm_up: bool = False
    error: str = ""


@dataclass(frozen=True)
class Report:
    """The measurements of one model on one data set.

    Attributes:
        protocol: its facts (`Protocol.facts`), and the metrics that were added or left out.
        model: name, config (if it was built from one), number of parameters, whether the model
            requires training, and whether its weights are trained.
        dataset: kind, root, split, number of images.
        metrics: metric -> unit, better direction, options.
        environment: versions, device, date, command.
        rows: one for each image.
        complete: False if it was interrupted.

    Example:
        >>> from unfold.evaluation import Report, Row
        >>> report = Report(
        ...     protocol={"name": "mine", "version": 1},
        ...     model={"name": "m"},
        ...     dataset={"kind": "paired"},
        ...     metrics={"psnr": {"unit": "dB", "better": "higher", "options": {}}},
        ...     environment={},
        ...     rows=[Row("one", {"psnr": 20.0}), Row("other", {"psnr": 22.0})],
        ... )
        >>> report.title(), report.summary()["metrics"]["psnr"]["mean"]
        ('m on paired, protocol mine (version 1)', 21.0)
    """

    protocol: Mapping[str, Any]
    model: Mapping[str, Any]
    dataset: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]
    environment: Mapping[str, Any]
    rows: Sequence[Row]
    complete: bool = True

    @property
    def failed(self) -> int:
        """Rows with an error."""
        return sum(bool(row.error) for row in self.rows)

    def summary(self) -> dict[str, Any]:
        """Means with intervals, and speed.

        Infinite values (PSNR of identical pictures) are counted, but not part of the mean. A failed
        image does not contribute to the values that it lacks. The warm-up does not contribute to
        the times.
        """
        timed = [r for r in self.rows if r.seconds is not None and r.size and not r.warm_up]
        seconds = math.fsum(r.seconds for r in timed if r.seconds)
        pixels = sum(r.size[0] * r.size[1] for r in timed if r.size)
        return {
            "metrics": {
                name: dataclasses.asdict(
                    summarize([r.values[name] for r in self.rows if name in r.values])
                )
                for name in self.metrics
            },
            "interval": METHOD,
            "images": len(self.rows),
            "failed": self.failed,
            "seconds_per_image": seconds / len(timed) if timed else None,
            "megapixels_per_second": pixels / seconds / 1e6 if seconds else None,
            "timed_images": len(timed),
        }

    def header(self) -> dict[str, Any]:
        """The report without its rows."""
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "complete": self.complete,
            "summary": self.summary(),
            "metrics": self.metrics,
            "protocol": self.protocol,
            "model": self.model,
            "dataset": self.dataset,
            "environment": self.environment,
        }

    def document(self) -> dict[str, Any]:
        """The complete report."""
        return {**self.header(), "rows": [dataclasses.asdict(row) for row in self.rows]}

    def json(self) -> str:
        """One ASCII object, because the name of a photo may contain undecodable bytes.

        JSON has no infinity: an infinite value is the string ``"inf"``.
        """
        return json.dumps(finite(self.document()), indent=1)

    def csv(self) -> str:
        """The header as JSON in a comment line, followed by one line for each image."""
        out = io.StringIO()
        header = json.dumps(finite(self.header()))
        out.write(f"# {header}\n")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["name", *self.metrics, "seconds", "height", "width", "warm_up", "error"])
        for row in self.rows:
            values = [row.values.get(name, "") for name in self.metrics]
            writer.writerow(
                [row.name, *values, "" if row.seconds is None else row.seconds,
                 *(row.size or ("", "")), int(row.warm_up), row.error]
            )  # fmt: skip
        return out.getvalue()

    def markdown(self) -> str:
        """The means, all images, and the header."""
        header = json.dumps(finite(self.header()), indent=1)
        rows = [("image", *self.metrics, "seconds", "")]
        for row in self.rows:
            values = [digits(row.values.get(name)) for name in self.metrics]
            note = " ".join(filter(None, ("(warm-up)" * row.warm_up, row.error)))
            rows.append((row.name or "–", *values, digits(row.seconds), note))
        return "\n\n".join(
            (f"# {self.title()}", self.text(), markdown_table(rows), f"```json\n{header}\n```\n")
        )

    def title(self) -> str:
        """Model, data set and protocol in one line."""
        protocol = f"{self.protocol['name']} (version {self.protocol['version']})"
        return f"{self.model['name']} on {self.dataset['kind']}, protocol {protocol}"

    def text(self) -> str:
        """The means and the speed, for a terminal."""
        summary = self.summary()
        rows = [("metric", "mean", "95 % interval", "images")]
        for name, mean in summary["metrics"].items():
            unit = self.metrics[name].get("unit") or ""
            interval = "–" if mean["low"] is None else f"{mean['low']:.4f} to {mean['high']:.4f}"
            count = f"{mean['count']}" + f" (and {mean['infinite']} infinite)" * bool(
                mean["infinite"]
            )
            rows.append((f"{name} [{unit}]" if unit else name, digits(mean["mean"]), interval,
                         count))  # fmt: skip
        lines = [markdown_table(rows), "", self._model()]
        if summary["timed_images"]:
            lines.append(
                f"{summary['seconds_per_image']:.4g} s an image, "
                f"{summary['megapixels_per_second']:.4g} megapixels a second on "
                f"{self.environment['device']}, over {summary['timed_images']} images (the first, "
                "a warm-up, not counted)"
            )
        if self.failed:
            lines.append(f"{self.failed} of {len(self.rows)} failed; the means are over the rest")
        if not self.complete:
            lines.append("Incomplete: it was interrupted.")
        return "\n".join(lines).strip()

    def _model(self) -> str:
        """Whether the model requires training and is trained, in one line."""
        if not self.model["learned"]:
            return "The model is classical: it has no learned parameters."
        state = "trained" if self.model["trained"] else "not trained"
        return (
            f"The model is a learned network of {self.model['parameters']:,} parameters, {state}."
        )

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a .json, .csv or .md file atomically.

        Raises:
            ReportError: see `check_target`; also if no space is left.
        """
        write_report(path, {".json": self.json, ".csv": self.csv, ".md": self.markdown})


def write_report(path: str | os.PathLike[str], formats: Mapping[str, Callable[[], str]]) -> None:
    """Write a file atomically, in the format of its suffix.

    Raises:
        ReportError: see `check_target`; also if the file cannot be written.
    """
    target = check_target(path)
    try:
        replace_file(target, formats[target.suffix]().encode(errors="backslashreplace"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReportError(f"{path}: cannot be written ({reason})") from error


def check_target(path: str | os.PathLike[str]) -> Path:
    """Check the path of a report before the evaluation starts.

    Raises:
        ReportError: if its suffix is not in ``SUFFIXES``, or its folder is missing or not writable.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        suffixes = ", ".join(SUFFIXES)
        raise ReportError(f"{path}: a report ends in {suffixes}, a page of photos in .html")
    check_place(path)
    return path


def check_place(path: Path) -> None:
    """Check that a file can be written to a path.

    Raises:
        ReportError: if the folder is missing or not writable.
    """
    folder = path.absolute().parent
    if not folder.is_dir() or path.is_dir() or not os.access(folder, os.W_OK):
        raise ReportError(f"{path}: cannot be written there; give a file in a folder that exists")


def finite(value: Any) -> Any:
    """A value in the types of JSON. Infinity, which JSON does not have, becomes ``"inf"``."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def digits(value: float | None) -> str:
    """A number in a table, or a dash for None."""
    return "–" if value is None else f"{value:.4f}"
