"""Compression by JPEG."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from unfold.errors import InputError

from .base import Degradation, Parameters
from .libjpeg import through_jpeg
from .rng import check_photos

Quality = Annotated[int, Field(ge=1, le=100)]


class JPEG(Degradation):
    """Write as JPEG and read again, like libjpeg, with colors at half resolution (4:2:0).

    Encoded values are first clipped to [0, 1] and rounded to 8 bits. On the CPU, Pillow processes
    one photo at a time; on other devices, `unfold.degradation.libjpeg` processes a batch, with the
    same bits. The result does not require a gradient.

    Options:
        quality: range of libjpeg's quality, 1 to 100, both ends included.

    Parameters: ``quality``, ``(B,)`` int64.

    Raises:
        InputError: if a side is longer than 65,500 pixels, the limit of libjpeg.

    Example:
        >>> import torch
        >>> from unfold.degradation import JPEG
        >>> photo, rng = torch.rand(1, 3, 32, 32), torch.Generator().manual_seed(0)
        >>> fine = JPEG(quality=(95, 95))(photo, generator=rng)
        >>> coarse = JPEG(quality=(10, 10))(photo, generator=rng)
        >>> bool((coarse - photo).abs().mean() > (fine - photo).abs().mean())
        True
    """

    color_space = "encoded"

    def __init__(self, *, quality: tuple[Quality, Quality] = (40, 95)) -> None:
        low, high = quality
        if not 1 <= low <= high <= 100:
            raise InputError(
                f"jpeg: quality=({low}, {high}): give (low, high) within 1 to 100, low not above "
                "high"
            )
        self.quality = quality

    def sample(self, batch: int, generator: torch.Generator) -> Parameters:
        low, high = self.quality
        return {"quality": torch.randint(low, high + 1, (batch,), generator=generator)}

    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        check_photos(image, parameters)
        if max(image.shape[-2:]) > 65500:
            raise InputError(f"jpeg: {tuple(image.shape)} has too long a side: crop to 65500")
        samples = (255 * image.detach().clamp(0, 1)).round().byte()
        coded = _with_pillow if image.device.type == "cpu" else through_jpeg
        return coded(samples, parameters["quality"]).to(image) / 255


def _with_pillow(samples: Tensor, quality: Tensor) -> Tensor:
    pairs = zip(samples, quality.tolist(), strict=True)
    return torch.stack([_through_jpeg(*pair) for pair in pairs])


def _through_jpeg(samples: Tensor, quality: int) -> Tensor:
    """``(3, H, W)`` uint8 to the same."""
    # Not kornia's jpeg_codec_differentiable: it approximates libjpeg (values move by 0.09).
    import numpy as np
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(samples.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)
