"""Linear light, its lightness, and the encoded values that files hold."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from unfold.errors import InputError

Transfer = Literal["gamma-2.2", "srgb", "linear"]


def decode(encoded: Tensor, transfer: Transfer = "srgb") -> Tensor:
    """Linear light from encoded values. Both are at least 0; the curve continues above 1.

    Args:
        encoded: ``(..., 3, H, W)``; negative values count as 0.
        transfer: ``"srgb"``, the curve of IEC 61966-2-1; ``"gamma-2.2"``, ``x ** 2.2``; or
            ``"linear"``: values are used as light, as in benchmarks of deblurring.
    """
    from kornia.color import rgb_to_linear_rgb

    x = encoded.clamp_min(0)
    if transfer == "linear":
        return x
    if transfer == "gamma-2.2":
        return x**2.2
    return rgb_to_linear_rgb(x)


def encode(linear: Tensor, transfer: Transfer = "srgb") -> Tensor:
    """Encoded values from linear light: the inverse of ``decode``."""
    from kornia.color import linear_rgb_to_rgb

    x = linear.clamp_min(0)
    if transfer == "linear":
        return x
    if transfer == "gamma-2.2":
        return x ** (1 / 2.2)
    return linear_rgb_to_rgb(x)


# Luminance of linear sRGB (IEC 61966-2-1).
LUMINANCE = (0.2126729, 0.7151522, 0.0721750)


def lightness(image: Tensor) -> Tensor:
    """CIE ``L*`` of linear sRGB, ``(B, 3, H, W)`` -> ``(B, 1, H, W)``; black 0, white 100.

    ``116 Y^(1/3) − 16``; below Y = 0.008856, the straight line ``903.3 Y``.
    """
    # Not kornia's rgb_to_lab: it rounds the luminance to 6 digits (L* moves by up to 1e-3) and,
    # called on linear light, takes 7 to 10 times as long.
    red, green, blue = image.split(1, 1)
    y = LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue
    # (The root's slope at 0 is infinite: no gradient may come from there.)
    return torch.where(y > 0.008856, 116 * y.clamp_min(0.008856) ** (1 / 3) - 16, 903.3 * y)


def check_lightness(what: str, given: float) -> float:
    """Return a lightness threshold if it is valid.

    Raises:
        InputError: if it is not within 0 to 100.
    """
    if not 0 <= given <= 100:
        raise InputError(f"{what}={given}: give a lightness of 0 to 100, such as 97")
    return given
