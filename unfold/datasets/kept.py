"""Photos that are cached on the device of the computation."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

import torch
from torch import Tensor


class Kept:
    """A cache of photos on a device, with 8 bits for each value.

    Args:
        device: device of the cache.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._pictures: dict[Hashable, dict[str, Tensor]] = {}

    def get(self, key: Hashable, read: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The photos of a key, uint8 on the device. ``read`` is called the first time.

        Args:
            key: key of the photos.
            read: function that returns them in [0, 1], of any shapes.
        """
        if key not in self._pictures:
            self._pictures[key] = {
                name: (255 * picture.to(self.device)).round().byte()
                for name, picture in read().items()
            }
        return self._pictures[key]


def unit(picture: Tensor) -> Tensor:
    """A photo in [0, 1]: cached 8-bit values become float32, other values are unchanged."""
    return picture if picture.is_floating_point() else picture.float() / 255
