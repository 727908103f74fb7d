"""The step of a prior that accepts one step for each image."""

from __future__ import annotations

from torch import Tensor

from unfold.core import Prior
from unfold.errors import InputError


def one_per_image(prior: Prior, v: Tensor, step: Tensor) -> Tensor:
    """``step`` as ``(B, 1, 1, 1)``.

    Raises:
        InputError: if it is a map.
    """
    if step.shape[1:].numel() != 1:
        raise InputError(
            f"{type(prior).__name__} takes one step for each image, (1 or {v.shape[0]}, 1, 1, 1), "
            f"got a map, {tuple(step.shape)}: split the block with a constraint z = x and put the "
            "prior on z, or choose a prior with accepts_map (total-variation, deepinv-drunet)"
        )
    return step.reshape(-1, 1, 1, 1).expand(v.shape[0], 1, 1, 1)
