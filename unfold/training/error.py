"""What stops a training."""

from __future__ import annotations


class TrainingError(ValueError):
    """A training that cannot begin or go on; the message says why and what to do."""
