"""IAT as a model of unfold."""

from .iat import IAT

__all__ = ["IAT"]
