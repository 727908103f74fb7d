"""Photos embedded in web pages."""

from __future__ import annotations

import base64

from torch import Tensor

from unfold.imaging import jpeg
from unfold.imaging.shrink import shrink


def data_url(picture: Tensor, width: int) -> str:
    """A photo ``(3, H, W)`` in [0, 1] as a data URL, scaled down to a width."""
    if picture.shape[-1] > width:
        height = max(1, round(picture.shape[-2] * width / picture.shape[-1]))
        picture = shrink(picture.float(), (height, width))
    samples = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.encode(samples, None)).decode()
