"""Whether a photo has a defect, by estimates: dark, shaken, noisy."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

DARK = 1.05
"""A photo is dark if full exposure makes its darks brighter by a larger factor."""

NOISY = 2 / 255
"""A photo is noisy if the standard deviation of its noise is larger."""


def is_good(found: Mapping[str, Tensor]) -> Tensor:
    """Whether each photo has no defect: full exposure, a point as its kernel, little noise.

    Args:
        found: of the estimates ``gain`` and ``curve``, ``kernel`` (a point is one entry that is not
            zero) and ``grain`` (the noise without what JPEG did) those that there are,
            ``(1 or B, ...)`` each.

    Returns:
        ``(1 or B, 1, 1, 1)``, bool.

    Example::

        >>> import torch
        >>> from unfold.estimators.defects import is_good
        >>> is_good({"kernel": torch.ones(1, 1, 1, 1), "grain": torch.full((1, 1, 1, 1), 0.001)})
        tensor([[[[True]]]])
    """
    good = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    if "gain" in found:
        good = good.to(found["gain"].device) & (exposure(found) <= DARK)
    if "grain" in found:
        good = good.to(found["grain"].device) & (found["grain"] <= NOISY)
    if "kernel" in found:
        good = good.to(found["kernel"].device) & is_point(found["kernel"])
    return good


def exposure(found: Mapping[str, Tensor]) -> Tensor:
    """The factor by which full exposure makes a photo's darks brighter: ``gain`` times ``curve``,
    where it was measured."""
    return found["gain"] * found.get("curve", 1.0)


def is_point(kernel: Tensor) -> Tensor:
    """Whether kernels ``(B, M, h, w)`` have one entry that is not zero, ``(B, 1, 1, 1)``."""
    return kernel.count_nonzero((1, 2, 3)).view(-1, 1, 1, 1) == 1
