"""What an unrolled network does to a photo, stage by stage, as a page to look at."""

from .scale import Shown, show
from .trace import Trace, trace

__all__ = ["Shown", "Trace", "show", "trace"]
