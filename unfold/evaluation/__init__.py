"""Models measured on data sets: metrics by a named protocol, reports, tables."""

from .protocol import Crop, Measure, Protocol, ProtocolError, find_protocol
from .report import Report, ReportError, Row, read_report
from .runner import EvaluationError, evaluate

__all__ = [
    "Crop", "EvaluationError", "Measure", "Protocol", "ProtocolError", "Report", "ReportError",
    "Row", "evaluate", "find_protocol", "read_report",
]  # fmt: skip
