"""Errors of an export."""

from unfold.errors import UnfoldError


class ExportError(UnfoldError):
    """A model cannot be exported; the message is one line."""
