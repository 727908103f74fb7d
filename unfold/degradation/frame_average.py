"""Motion: what the scene and the camera do between the opening and the closing of the shutter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from unfold.errors import InputError

from .base import Degradation, Parameters

Count = Annotated[int, Field(ge=1, le=999)]


def _both_odd(frames: tuple[int, int]) -> tuple[int, int]:
    low, high = frames
    if not (1 <= low <= high and low % 2 == high % 2 == 1):
        raise InputError(
            f"frame-average: frames=({low}, {high}): give (low, high), both odd and at least "
            "1, low not above high"
        )
    return frames


Frames = Annotated[tuple[Count, Count], AfterValidator(_both_odd)]


class FrameAverage(Degradation):
    """Average consecutive frames of a fast video in linear light: ``y = mean_t x_t``.

    That is the long exposure that a slower camera would have made: things and camera move as they
    did. The frames must follow one another at so high a rate that nothing moves by more than
    about a pixel between them, else a moving light becomes a row of dots; interpolate if not.
    The sharp photo that belongs to it is the middle frame, ``t = T // 2``.

    Options:
        frames: range of how many are averaged, around the middle one; both ends odd, and only
            odd numbers are drawn.

    Parameters: ``frames``, ``(B,)`` int64.

    Example:
        >>> import torch
        >>> from unfold.degradation import FrameAverage
        >>> moving = torch.eye(3).view(1, 3, 1, 1, 3).expand(1, 3, 3, 1, 3)  # a pixel each frame
        >>> FrameAverage(frames=(3, 3))(moving, generator=torch.Generator())[0, 0]
        tensor([[0.3333, 0.3333, 0.3333]])
    """

    color_space = "linear"
    frames = True

    def __init__(self, *, frames: Frames = (7, 13)) -> None:
        self.range = _both_odd(frames)

    def sample(self, batch: int, generator: torch.Generator) -> Parameters:
        low, high = self.range
        half = torch.randint(low // 2, high // 2 + 1, (batch,), generator=generator)
        return {"frames": 2 * half + 1}

    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        """Clips ``(B, T, 3, H, W)`` in linear light to photos ``(B, 3, H, W)``.

        Raises:
            InputError: not clips of as many photos; a clip has fewer frames than to be averaged.
        """
        count = parameters["frames"]
        if image.ndim != 5 or len(image) != len(count) or not image.is_floating_point():
            raise InputError(
                f"frame-average: clips must be floating point of shape ({len(count)}, frames, 3, "
                f"height, width), got {image.dtype} {tuple(image.shape)}"
            )
        middle = image.shape[1] // 2
        reach = int(count.max()) // 2
        if middle - reach < 0 or middle + reach >= image.shape[1]:
            raise InputError(
                f"frame-average: {2 * reach + 1} frames are to be averaged, the clip has "
                f"{image.shape[1]}: give longer clips or lower frames=(low, high)"
            )
        away = torch.arange(-reach, reach + 1, device=count.device).abs()
        weights = (away <= count[:, None] // 2) / count[:, None]
        chosen = image[:, middle - reach : middle + reach + 1]
        return torch.einsum("bt,btchw->bchw", weights.to(image), chosen)
