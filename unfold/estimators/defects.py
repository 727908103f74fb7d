"""Defects of a photo, low exposure, shake or noise: what has none is kept."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

DARK = 1.05
"""A photo is dark if full exposure brightens its dark regions by more than this factor."""

NOISY = 2 / 255
"""A photo is noisy if the standard deviation of its noise is larger than this."""


def is_good(found: Mapping[str, Tensor]) -> Tensor:
    """Whether each photo has no defect: full exposure, a point as its kernel, little noise.

    Args:
        found: those of the following estimates that exist, ``(1 or B, ...)`` each: ``gain`` and
            ``curve``, ``kernel`` (a point has one nonzero entry) and ``grain`` (the noise without
            the errors of JPEG).

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
    """The factor by which full exposure brightens dark regions: ``gain`` times ``curve``, if they
    were estimated."""
    return found["gain"] * found.get("curve", 1.0)


def is_point(kernel: Tensor) -> Tensor:
    """Whether kernels ``(B, M, h, w)`` have exactly one nonzero entry, ``(B, 1, 1, 1)``."""
    return kernel.count_nonzero((1, 2, 3)).view(-1, 1, 1, 1) == 1


def spliced(
    image: Tensor, restored: Tensor, kept: Tensor, share: Tensor, found: Mapping[str, Tensor]
) -> Tensor:
    """Blend a restoration with the photo: the restoration is used where its kernel is plausible.

    Args:
        image: the photo. A photo without defects (`is_good`) is returned unchanged.
        restored: the restoration.
        kept: version of the photo that is used where the restoration is not reliable.
        share: share of the restoration in the result, ``(B, 1, H, W)`` (`reblur_share`).
        found: measurements for `is_good`.
    """
    return torch.where(is_good(found), image, torch.lerp(kept, restored, share))
