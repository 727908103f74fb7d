"""FDN as a model of unfold."""

from .fdn import FDN

__all__ = ["FDN"]
