"""The size of a picture, as people write it."""

from __future__ import annotations

from typing import NamedTuple

LEAST = 32  # the blurs have kernels of 31
_NAMED = {"720p": (720, 1280), "1080p": (1080, 1920)}


class Size(NamedTuple):
    """Height and width, in pixels.

    Example:
        >>> from unfold.benchmarking import Size
        >>> Size.parse("720p"), str(Size.parse("256"))
        (Size(height=720, width=1280), '256x256')
    """

    height: int
    width: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}"

    @classmethod
    def parse(cls, text: str) -> Size:
        """``256``, ``720x1280`` (height first) or ``720p``.

        Raises:
            ValueError: it is none of these, or below 32 pixels.
        """
        height, x, width = text.partition("x")
        sides = _NAMED.get(text, (height, width if x else height))
        if not all(str(side).isdecimal() and int(side) >= LEAST for side in sides):
            raise ValueError(
                f"size {text!r}: must be a side such as 256, HEIGHTxWIDTH, or "
                f"{' or '.join(_NAMED)}; no side below {LEAST}"
            )
        return cls(*map(int, sides))
