"""unfold's weights for programs that load models with spandrel."""

from .install import install

__all__ = ["install"]
