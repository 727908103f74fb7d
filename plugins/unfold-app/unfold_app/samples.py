"""Sample photos from scikit-image, darkened and blurred by a known camera shake."""

from __future__ import annotations

import torch
from torch import Tensor

from unfold.degradation.dark_and_shaken import dark_and_shaken

# Name -> seed of its shake.
SAMPLES = {"astronaut": 3, "chelsea": 5, "coffee": 4, "rocket": 6}


def sample(name: str) -> tuple[Tensor, Tensor]:
    """A dark, shaken photo ``(3, H, W)``, and the kernel of its shake."""
    from skimage import data

    sharp = torch.from_numpy(getattr(data, name)()).float().permute(2, 0, 1)[None] / 255
    bad, kernel = dark_and_shaken(sharp, torch.Generator().manual_seed(SAMPLES[name]))
    return bad[0], kernel
