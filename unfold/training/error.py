"""The error of a training that cannot start or resume."""

from __future__ import annotations

from unfold.errors import UnfoldError


class TrainingError(UnfoldError, ValueError):
    """Raised if a training cannot start or resume; the message names the reason and the remedy.

    Example:
        >>> from unfold.training import read_recipe
        >>> read_recipe("zero-dec")
        Traceback (most recent call last):
            ...
        unfold.training.error.TrainingError: no recipe 'zero-dec'; did you mean zero-dce? ...
    """
