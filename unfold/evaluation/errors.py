"""What keeps an evaluation from being begun."""

from __future__ import annotations


class EvaluationError(ValueError):
    """An evaluation that cannot be begun; one line says why."""
