"""Linear light and the encoded values that files hold."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

Transfer = Literal["gamma-2.2", "srgb", "linear"]


def decode(encoded: Tensor, transfer: Transfer = "srgb") -> Tensor:
    """Linear light from encoded values; both at least 0, values above 1 go on by the same curve.

    Args:
        encoded: ``(..., 3, H, W)``; negative values are taken for 0.
        transfer: ``"srgb"``, the curve of IEC 61966-2-1; ``"gamma-2.2"``, ``x ** 2.2``; or
            ``"linear"``: values are taken for light as they are, as benchmarks of deblurring do.
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
