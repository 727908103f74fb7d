"""Pictures that are kept on the device of the computation."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping

import torch
from torch import Tensor


class Kept:
    """Pictures read once and kept on a device, in 8 bits a value.

    Args:
        device: where.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._pictures: dict[Hashable, dict[str, Tensor]] = {}

    def get(self, key: Hashable, read: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The pictures of a key, uint8 on the device; ``read`` is called the first time.

        Args:
            key: of the pictures.
            read: gives them in [0, 1], of any shapes.
        """
        if key not in self._pictures:
            self._pictures[key] = {
                name: (255 * picture.to(self.device)).round().byte()
                for name, picture in read().items()
            }
        return self._pictures[key]


def unit(picture: Tensor) -> Tensor:
    """A picture in [0, 1]: what is kept in 8 bits as float32, all else as it is."""
    return picture if picture.is_floating_point() else picture.float() / 255
