"""Data sets on disk."""

from .base import DataError, Dataset, Pair

__all__ = ["DataError", "Dataset", "Pair"]
