"""What stops a training."""

from __future__ import annotations

from unfold.errors import UnfoldError


class TrainingError(UnfoldError, ValueError):
    """A training that cannot begin or go on; the message says why and what to do."""
