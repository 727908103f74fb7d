"""The stages of an unrolled network on a photo, as an HTML page."""

from .scale import Shown, show
from .trace import Trace, trace

__all__ = ["Shown", "Trace", "show", "trace"]
