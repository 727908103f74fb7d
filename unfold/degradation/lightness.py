"""Lab lightness of linear light."""

from __future__ import annotations

import torch
from torch import Tensor

# Luminance of linear sRGB (IEC 61966-2-1).
_LUMINANCE = (0.2126729, 0.7151522, 0.0721750)


def lightness(image: Tensor) -> Tensor:
    """CIE ``L*`` of linear sRGB, ``(B, 3, H, W)`` -> ``(B, 1, H, W)``; black 0, white 100.

    ``116 Y^(1/3) − 16``, below Y = 0.008856 the straight line ``903.3 Y``; values above 1 go on.
    """
    # Not kornia's rgb_to_lab: it rounds the luminance to 6 digits (L* moves by up to 1e-3) and,
    # called on linear light, takes 7 to 10 times as long.
    red, green, blue = image.split(1, 1)
    y = _LUMINANCE[0] * red + _LUMINANCE[1] * green + _LUMINANCE[2] * blue
    # (The root's slope at 0 is infinite: no gradient may come from there.)
    return torch.where(y > 0.008856, 116 * y.clamp_min(0.008856) ** (1 / 3) - 16, 903.3 * y)


def check_lightness(what: str, given: float) -> float:
    """Return a lightness threshold if it is valid.

    Raises:
        ValueError: it is not within 0 to 100.
    """
    if not 0 <= given <= 100:
        raise ValueError(f"{what}={given}: give a lightness of 0 to 100, such as 97")
    return given
