"""Restoration models: assemblies of terms, priors and estimators."""

from .restorer import Restoration, Restorer

__all__ = ["Restoration", "Restorer"]
