"""Exposure, told from the brightest part of a photo."""

from __future__ import annotations

from torch import Tensor

# The brightest half percent: where a well exposed photo has it, and between which bounds one goes
# over from "too dark" to "as it should be".
_WHITE, _TOO_DARK, _WELL_EXPOSED = 0.95, 0.65, 0.9
_LARGEST_GAIN = 12.0
_ENOUGH_PIXELS = 1_000_000


def exposure_gain(image: Tensor) -> Tensor:
    """The gain that brings a dark image to full exposure, ``(B, 1, 1, 1)``; of a bright one, 1.

    A brightest half percent below 0.65 is brought to 0.95, by at most 12; above 0.9 it stays, and
    between the two bounds the gain fades smoothly. No gradient passes.

    Args:
        image: ``(B, 3, H, W)``; of a large one every other pixel, or fewer, are looked at.
    """
    height, width = image.shape[-2:]
    step = max(1, int((height * width / _ENOUGH_PIXELS) ** 0.5))
    brightest = image.detach()[..., ::step, ::step].amax(1).flatten(1)
    rank = max(1, int(0.995 * brightest.shape[1]))
    white = brightest.kthvalue(rank, dim=1).values.view(-1, 1, 1, 1)
    t = ((_WELL_EXPOSED - white) / (_WELL_EXPOSED - _TOO_DARK)).clamp(0, 1)
    gain = (_WHITE / white.clamp_min(1e-6)).clamp(1, _LARGEST_GAIN)
    return gain ** (t * t * (3 - 2 * t))
