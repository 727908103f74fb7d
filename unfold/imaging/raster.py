"""Decoded samples as stored in the file, before conversion to a ``Photo``."""

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
    """The output of a decoder.

    Attributes:
        samples: ``(H, W, C)``, uint8 or uint16. C is 1 for gray, 2 for gray and alpha, 3 for RGB, 4
            for RGBA. The rows are those of the file.
        orientation: EXIF orientation, 1 to 8; `upright` applies it.
        icc: ICC profile, or None.
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
    """Raise ImageError if a header states no pixels, or more than ``max_pixels``."""
    if width < 1 or height < 1:
        raise ImageError(f"its header claims {width} x {height} pixels; copy or download it again")
    if width * height > max_pixels:
        raise ImageError(
            f"its header claims {width} x {height} pixels, above the limit of {max_pixels:,}; "
            "scale it down, or raise the limit (max_pixels, --max-pixels)"
        )


def check_held(claimed: int, held: int, expansion: int) -> None:
    """Raise ImageError if a file is too small to contain the samples that its header states.

    Args:
        claimed: number of bytes of the samples.
        held: number of bytes of the file.
        expansion: largest number of bytes that the codec decodes from one.
    """
    if claimed > held * expansion:
        raise ImageError(
            f"its header claims {claimed:,} bytes of samples, more than its {held:,} bytes can "
            "hold; copy or download it again"
        )


def known_orientation(value: object) -> int:
    """The value of an orientation tag, or 1 if it is not one of the eight."""
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def exif_orientation(exif: bytes | None) -> int:
    """The orientation in an EXIF block; 1 if there is none."""
    from PIL import Image

    tags = Image.Exif()
    try:
        tags.load(exif or b"")
        return known_orientation(tags.get(ORIENTATION))
    except Exception:  # The image is used without the broken EXIF block.
        return 1


def from_pillow(picture: Image) -> np.ndarray:
    """The uint8 samples ``(H, W, C)`` of an 8-bit Pillow image.

    Raises:
        ImageError: if its mode has more than 8 bits.
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
