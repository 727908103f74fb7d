"""Keep the photo where its restoration is not reliable."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unfold.estimators.defects import is_good


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
