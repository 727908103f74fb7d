"""Models measured on data sets: metrics by a named protocol, reports, tables."""

from .errors import EvaluationError
from .found import read_report
from .protocol import Crop, Measure, Protocol, ProtocolError, find_protocol
from .report import Report, ReportError, Row
from .runner import evaluate

__all__ = [
    "Crop", "EvaluationError", "Measure", "Protocol", "ProtocolError", "Report", "ReportError",
    "Row", "evaluate", "find_protocol", "read_report",
]  # fmt: skip
