"""Keeping the photo where its restoration is not reliable."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unfold.estimators.defects import is_good


def spliced(
    image: Tensor, restored: Tensor, kept: Tensor, share: Tensor, found: Mapping[str, Tensor]
) -> Tensor:
    """A restoration where its kernel explains the photo, and the photo elsewhere.

    Args:
        image: the photo. One without defects (`is_good`) is returned unchanged.
        restored: the restoration.
        kept: the photo, for places where the restoration is not reliable.
        share: of the restoration, ``(B, 1, H, W)`` (`reblur_share`).
        found: what `is_good` reads.
    """
    return torch.where(is_good(found), image, torch.lerp(kept, restored, share))
