"""What goes wrong in an export."""

from unfold.errors import UnfoldError


class ExportError(UnfoldError):
    """A model cannot be exported; one line says why."""
