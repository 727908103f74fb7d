"""Pairs as tensors for training, cached on a device."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils import data

from unfold.errors import InputError
from unfold.imaging import ImageError, read
from unfold.imaging.photo import shrink

from .base import Pair


class Photos(data.Dataset):
    """The photos of pairs, with common crops and flips, for ``torch.utils.data.DataLoader``.

    An item is a dict of ``"input"`` and, if the pair has one, ``"target"``, both
    ``(3, H, W)`` float32 in [0, 1], sRGB-encoded, and ``"name"``. Its crop and flip depend on
    ``seed``, the epoch and its index alone, so the number of workers changes nothing.

    Args:
        pairs: a sequence of pairs, such as a `Dataset`.
        crop: side of a square at a uniformly random position; None keeps whole photos.
        side: photos whose shorter side is longer are first scaled down to this length; None keeps
            their size.
        seed: seed of crops and flips, at least 0.
        flip: whether items are mirrored horizontally with probability ½.
        kept: cache of the photos, with 8 bits, on the device of the crops; None reads the files
            each time.

    Raises:
        ImageError: (on access) if a photo cannot be read, or input and target differ in size or are
            smaller than the crop.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.datasets import Pair, Photos
        >>> from unfold.imaging import Photo, write
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     photo = Path(folder, "photo.png")
        ...     write(photo, Photo(torch.rand(3, 32, 32)))
        ...     item = Photos([Pair("photo", photo, photo)], crop=16, seed=1)[0]
        >>> item["name"], item["input"].shape, torch.equal(item["input"], item["target"])
        ('photo', torch.Size([3, 16, 16]), True)
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        *,
        crop: int | None = None,
        side: int | None = None,
        seed: int = 0,
        flip: bool = False,
        kept: Kept | None = None,
    ) -> None:
        for name, pixels in {"crop": crop, "side": side}.items():
            if pixels is not None and pixels < 1:
                raise InputError(f"{name} must be at least 1 pixel, or None, got {pixels}")
        if crop is not None and side is not None and side < crop:
            raise InputError(f"photos of side={side} hold no crop of {crop} x {crop}")
        if seed < 0:
            raise InputError(f"seed must be at least 0, got {seed}")
        self.pairs, self.crop, self.side, self.seed, self.flip = pairs, crop, side, seed, flip
        self.kept = kept
        # Shared, so that workers which outlive an epoch see the next one.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Draw other crops and flips from now on. To be called before each epoch."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        return self.item(index, int(self._epoch))

    def item(self, index: int, epoch: int) -> dict[str, Tensor | str]:
        """Item ``index`` of the given epoch, regardless of `set_epoch`."""
        index = range(len(self))[index]
        pair = self.pairs[index]
        images = self._images(pair)
        # Not kornia.augmentation: it draws from torch's global generator, which would change every
        # crop, and takes about 10 times as long.
        rng = np.random.default_rng((self.seed, epoch, index))
        rows, columns = self._window(pair, images["input"], rng)
        mirrored = self.flip and rng.integers(2) == 1
        item: dict[str, Tensor | str] = {"name": pair.name}
        for key, image in images.items():
            part = image[:, rows, columns]
            # (A copy: a view would take the whole photo along to another process.)
            item[key] = unit(part.flip(2) if mirrored else part.clone())
        return item

    def items(self, places: Sequence[tuple[int, int]]) -> list[dict[str, Tensor | str]]:
        """Several items, given by index and epoch."""
        return [self.item(index, epoch) for index, epoch in places]

    def _images(self, pair: Pair) -> dict[str, Tensor]:
        if self.kept is None:
            return self._read(pair)
        return self.kept.get((pair.input, pair.target, self.side), lambda: self._read(pair))

    def _read(self, pair: Pair) -> dict[str, Tensor]:
        images = {"input": read(pair.input).image}
        if pair.target is not None:
            images["target"] = read(pair.target).image
            if images["target"].shape != images["input"].shape:
                raise ImageError(
                    f"{pair.input}: {_size(images['input'])} pixels, but {pair.target} has "
                    f"{_size(images['target'])}; crop or resize them alike"
                )
        return {key: self._small(image) for key, image in images.items()}

    def _small(self, image: Tensor) -> Tensor:
        height, width = image.shape[1:]
        if self.side is None or min(height, width) <= self.side:
            return image
        scale = self.side / min(height, width)
        return shrink(image, (round(scale * height), round(scale * width)))

    def _window(self, pair: Pair, image: Tensor, rng: np.random.Generator) -> tuple[slice, slice]:
        if self.crop is None:
            return slice(None), slice(None)
        height, width = image.shape[1:]
        if min(height, width) < self.crop:
            raise ImageError(
                f"{pair.input}: {_size(image)} pixels hold no crop of {self.crop} x {self.crop}; "
                "choose a smaller crop"
            )
        top = int(rng.integers(height - self.crop + 1))
        left = int(rng.integers(width - self.crop + 1))
        return slice(top, top + self.crop), slice(left, left + self.crop)


def _size(image: Tensor) -> str:
    return f"{image.shape[2]} x {image.shape[1]}"


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
