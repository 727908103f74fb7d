"""A restoration that is kept from being worse than the photo."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unfold.estimators.faults import is_good
from unfold.estimators.reblur import reblur_share


def spliced(
    image: Tensor, restored: Tensor, kept: Tensor, exposed: Tensor, parts: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """A restoration where its kernel explains the photo, and the photo elsewhere.

    Args:
        image: the photo. One with which nothing is amiss (`is_good`) comes back as it is.
        restored: the restoration.
        kept: the photo, where the restoration is not believed.
        exposed: the photo that was deconvolved.
        parts: of the restoration: ``kernel``, ``residue`` (of ``exposed``), and what `is_good`
            reads.

    Returns:
        The result, and the share of the restoration in it, ``(B, 1, H, W)`` (`reblur_share`).
    """
    share = reblur_share(exposed, parts["kernel"], parts["residue"])
    mixed = share * restored + (1 - share) * kept
    return torch.where(is_good(parts), image, mixed), share
