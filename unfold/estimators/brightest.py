"""Estimation of the exposure from the brightest part of a photo."""

from __future__ import annotations

import torch
from torch import Tensor

from .noise import thinned
from .roles import ExposureEstimator

# The brightest half percent of a photo is scaled to the first number, if it is below the second; a
# photo is well exposed if it exceeds the third.
_WHITE, _UNDEREXPOSED, _WELL_EXPOSED = 0.95, 0.4, 0.7
_LARGEST_GAIN = 12.0


class BrightestExposure(ExposureEstimator):
    """A gain that brings the brightest half percent to 0.95, without a curve. Nothing is learned.

    A photo whose brightest half percent exceeds 0.7 is assumed to be well exposed: its gain is 1.
    The gain is at most 12.

    Example:
        >>> import torch
        >>> from unfold.estimators import BrightestExposure
        >>> gain, curve = BrightestExposure()(torch.full((1, 3, 16, 16), 0.19))
        >>> round(gain.item(), 3), curve.item()
        (5.0, 1.0)
    """

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        brightest = thinned(image).amax(1).flatten(1)
        rank = max(1, int(0.995 * brightest.shape[1]))
        white = brightest.kthvalue(rank, dim=1).values.view(-1, 1, 1, 1)
        t = ((_WELL_EXPOSED - white) / (_WELL_EXPOSED - _UNDEREXPOSED)).clamp(0, 1)
        gain = (_WHITE / white.clamp_min(1e-6)).clamp(1, _LARGEST_GAIN)
        gain = gain ** (t * t * (3 - 2 * t))
        return gain, torch.ones_like(gain)
