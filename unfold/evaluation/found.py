"""Reports read back from files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from unfold._files import one_line

from .report import FORMAT, FORMAT_VERSION, ReportError


class NoReportError(ReportError):
    """Raised if a file is not a report."""


@dataclass(frozen=True)
class Found:
    """A report that was read from a file, and its path."""

    path: Path
    report: Mapping[str, Any]

    @property
    def origin(self) -> str:
        """The file, with remarks on the reliability of its numbers."""
        report, summary = self.report, self.report["summary"]
        measured = summary["images"] - summary["failed"]
        # The data set's count is of its sound photos; what was wrong with others has no name.
        errors = sum(not row["name"] for row in report["rows"])
        total = report["dataset"]["count"] + errors
        limits = [] if measured == total else [f"{measured} of {total} photos"]
        limits += [] if report["complete"] else ["interrupted"]
        path = one_line(str(self.path))
        return path + (f" ({', '.join(limits)})" if limits else "")

    @property
    def config(self) -> Mapping[str, Any] | None:
        """The config of the model; for a folder of trained weights, that of the trained model."""
        model = self.report["model"]
        return model.get("inner_config") or model["config"]

    def mean(self, metric: str) -> float | None:
        return self.report["summary"]["metrics"].get(metric, {}).get("mean")


def read_report(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in a .json report.

    Raises:
        NoReportError: if the file cannot be read or is not a report.
        ReportError: if the report has another format or is incomplete.

    Example:
        >>> import tempfile, torch, unfold
        >>> from pathlib import Path
        >>> from unfold.datasets import Pair
        >>> from unfold.evaluation import Measure, Protocol, evaluate, read_report
        >>> from unfold.imaging import Photo, write
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     photo, file = Path(folder, "photo.png"), Path(folder, "report.json")
        ...     write(photo, Photo(torch.rand(3, 8, 8)))
        ...     mae = Protocol("mae-only", 1, "", (Measure("mae"),))
        ...     pairs = [Pair("photo", photo, photo)]
        ...     evaluate(unfold.create_model("identity"), pairs, mae).write(file)
        ...     read_report(file)["summary"]["metrics"]["mae"]["mean"]
        0.0
    """
    name = one_line(str(path))
    try:
        report = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise NoReportError(f"{name}: cannot be read as a report ({reason})") from error
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise NoReportError(f"{name}: is no report of `unfold evaluate -o FILE.json`")
    if report.get("format_version") != FORMAT_VERSION:
        raise ReportError(
            f"{name}: is a report of format {report.get('format_version')}, and this unfold reads "
            f"{FORMAT_VERSION}; measure again, or use the other version"
        )
    try:
        _Shape.model_validate(report)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise ReportError(
            f"{name}: is a damaged report ({where}: {problem['msg']}); measure again"
        ) from error
    return report


def read_reports(paths: Sequence[Path], errors: list[str]) -> list[Found]:
    """The reports in files and folders. A report that is found several times, or was copied, counts
    once.

    Faults become lines of ``errors``: a path that does not exist, a file that is not a report, a
    damaged report, or a report of another format. In a folder, .json files that are not reports
    are ignored.
    """
    found: list[Found] = []
    for path in paths:
        for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
            try:
                report = read_report(file)
            except ReportError as error:
                if file == path or not isinstance(error, NoReportError):
                    errors.append(str(error))
                continue
            if all(report != other.report for other in found):
                found.append(Found(file, report))
    return found


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class _Mean(_Part):
    mean: float | None


class _Summary(_Part):
    images: int
    failed: int
    metrics: dict[str, _Mean]


class _Protocol(_Part):
    name: str
    version: int


class _Model(_Part):
    name: str
    config: dict[str, Any] | None
    inner_config: dict[str, Any] | None = None


class _Dataset(_Part):
    kind: str
    split: str
    count: int


class _Row(_Part):
    name: str


class _Shape(_Part):
    """The fields of a report that a table requires."""

    complete: bool
    summary: _Summary
    protocol: _Protocol
    model: _Model
    dataset: _Dataset
    rows: list[_Row]
