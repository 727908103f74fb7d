"""A small LEDNet, which trains on a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from .lednet import LEDNet, Range


def lednet_small(
    *,
    weights: Path | None = None,
    range: Range = (0.0, 1.0),
    ppm: bool = True,
    curve_nlu: bool = True,
    fusion: Literal["filter", "concatenation"] = "filter",
    side_output: bool = True,
) -> LEDNet:
    """LEDNet with a quarter of the channels: widths 8, 16, 32, 32.

    ``unfold train lednet-small --set data.source=PHOTOS`` trains it on a CPU.
    """
    return LEDNet(
        weights=weights,
        range=range,
        ppm=ppm,
        curve_nlu=curve_nlu,
        fusion=fusion,
        side_output=side_output,
        widths=(8, 16, 32, 32),
    )
