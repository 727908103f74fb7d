"""A decoded file: samples as they are stored, between a codec and a ``Photo``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unfold.imaging.photo import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image

ORIENTATION = 0x0112  # the EXIF and the TIFF tag


@dataclass(frozen=True)
class Raster:
    """What a codec reads.

    ``samples`` is (H, W, C) uint8 or uint16 with C = 1 gray, 2 gray and alpha, 3 RGB, 4 RGBA; it
    lies as in the file, ``orientation`` (1 to 8, as EXIF counts) says how to turn it upright.
    """

    samples: np.ndarray
    orientation: int = 1
    icc: bytes | None = None

    def upright(self) -> np.ndarray:
        """The samples with the orientation applied."""
        samples = self.samples
        if self.orientation >= 5:
            samples = samples.swapaxes(0, 1)
        if self.orientation in (3, 4, 7, 8):
            samples = samples[::-1]
        if self.orientation in (2, 3, 6, 7):
            samples = samples[:, ::-1]
        return samples


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise ImageError for a header that claims no pixels, or more than ``max_pixels``."""
    if width < 1 or height < 1:
        raise ImageError(f"its header claims {width} x {height} pixels; copy or download it again")
    if width * height > max_pixels:
        raise ImageError(
            f"its header claims {width} x {height} pixels, above the limit of {max_pixels:,}; "
            "scale it down, or raise the limit (max_pixels, --max-pixels)"
        )


def check_held(claimed: int, held: int, expansion: int) -> None:
    """Raise ImageError where a header claims more bytes of samples than those in the file can make.

    Args:
        claimed: bytes of samples.
        held: bytes in the file.
        expansion: the most of the former that its codec makes of one of the latter.
    """
    if claimed > held * expansion:
        raise ImageError(
            f"its header claims {claimed:,} bytes of samples, more than its {held:,} bytes can "
            "hold; copy or download it again"
        )


def known_orientation(value: object) -> int:
    """An orientation tag's value, or 1 where it is none of the eight."""
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def exif_orientation(exif: bytes | None) -> int:
    """The orientation that an EXIF block states; 1 where it states none."""
    from PIL import Image

    tags = Image.Exif()
    try:
        tags.load(exif or b"")
        return known_orientation(tags.get(ORIENTATION))
    except Exception:  # a broken EXIF block is no reason to refuse the picture
        return 1


def from_pillow(picture: Image) -> np.ndarray:
    """The (H, W, C) uint8 samples of an 8-bit Pillow picture of any mode.

    Raises ImageError for the modes that 8 bits cannot hold.
    """
    if picture.mode in ("1", "L"):
        mode = "L"
    elif picture.mode in ("LA", "La"):
        mode = "LA"
    elif picture.mode in ("P", "PA", "RGBA", "RGBa"):
        mode = "RGBA" if picture.has_transparency_data else "RGB"
    elif picture.mode in ("RGB", "RGBX", "CMYK", "YCbCr"):
        mode = "RGB"
    else:
        raise ImageError(
            f"its mode {picture.mode!r} is not supported (8 or 16 bits of gray or RGB are); "
            "convert it to a 16-bit PNG"
        )
    samples = np.asarray(picture.convert(mode))
    return samples.reshape(*samples.shape[:2], -1)
