"""Metrics: how good a photo is."""

from .base import Metric

__all__ = ["Metric"]
