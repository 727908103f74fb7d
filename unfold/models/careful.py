"""A restoration that is kept from being worse than the photo."""

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
        image: the photo. One with which nothing is amiss (`is_good`) comes back as it is.
        restored: the restoration.
        kept: the photo, where the restoration is not believed.
        share: of the restoration, ``(B, 1, H, W)`` (`reblur_share`).
        found: what `is_good` reads.
    """
    return torch.where(is_good(found), image, torch.lerp(kept, restored, share))
