"""What libjpeg makes of 8-bit photos, to the bit, a batch at a time on any device.

Its arithmetic is in integers, with the "slow" integer DCT and smooth upsampling, which are its
defaults (and Pillow's). Here they are held in float64, which is exact for them: a GPU multiplies
no matrices of integers. The entropy coding loses nothing and is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

# The DCT of 8 values times 2¹³·√8, as jfdctint.c rounds its constants. (Rows 1, 3, 5, 7 are odd.)
_HALF_DCT = (
    (8192, 8192, 8192, 8192),
    (11363, 9633, 6437, 2260),
    (10703, 4433, -4433, -10703),
    (9633, -2259, -11362, -6436),
    (8192, -8192, -8192, 8192),
    (6437, -11362, 2261, 9633),
    (4433, -10704, 10704, -4433),
    (2260, -6436, 9633, -11363),
)
# ITU T.81, annex K.1, for quality 50.
_LUMA = """
    16 11 10 16 24 40 51 61      12 12 14 19 26 58 60 55
    14 13 16 24 40 57 69 56      14 17 22 29 51 87 80 62
    18 22 37 56 68 109 103 77    24 35 55 64 81 104 113 92
    49 64 78 87 103 121 120 101  72 92 95 98 112 100 103 99
"""
_CHROMA = (
    """
    17 18 24 47 99 99 99 99  18 21 26 66 99 99 99 99
    24 26 56 99 99 99 99 99  47 66 99 99 99 99 99 99
"""
    + 32 * " 99"
)


def through_jpeg(samples: Tensor, quality: Tensor) -> Tensor:
    """Written as JPEG (4:2:0) and read again.

    Args:
        samples: RGB of 8 bits, ``(B, 3, H, W)`` uint8.
        quality: of each photo, ``(B,)`` in 1 to 100.

    Returns:
        ``(B, 3, H, W)`` uint8.
    """
    height, width = samples.shape[-2:]
    luma, chroma = _from_rgb(samples.double()).split((1, 2), 1)
    scale = torch.where(quality < 50, 5000 // quality, 200 - 2 * quality).to(samples.device)
    luma = _coded(_extended(luma, 8), _table(_LUMA, scale))[..., :height, :width]
    # The last row is repeated to an even number before the mean, and means after it.
    chroma = _means(_repeated(chroma, height % 2, -width % 16))
    small = chroma.shape[-2], -(-width // 2)
    chroma = _coded(_extended(chroma, 8), _table(_CHROMA, scale))[..., : small[0], : small[1]]
    chroma = _smooth(chroma) if small[1] > 2 else _doubled(chroma)
    return _to_rgb(torch.cat((luma, chroma[..., :height, :width]), 1)).byte()


def _table(text: str, scale: Tensor) -> Tensor:
    """The steps that coefficients are rounded to, ``(B, 1, 1, 1, 8, 8)``."""
    base = torch.tensor([int(n) for n in text.split()]).view(8, 8).to(scale.device)
    return ((base * scale.view(-1, 1, 1, 1, 1, 1) + 50) // 100).clamp(1, 255).double()


def _from_rgb(rgb: Tensor) -> Tensor:
    red, green, blue = rgb.unbind(1)
    # (The offset of the chroma: 128, and a rounding that falls short of a half.)
    middle = 128 * 65536 + 32767
    parts = (
        19595 * red + 38470 * green + 7471 * blue + 32768,
        -11059 * red - 21709 * green + 32768 * blue + middle,
        32768 * red - 27439 * green - 5329 * blue + middle,
    )
    return (torch.stack(parts, 1) / 65536).floor()


def _to_rgb(ycc: Tensor) -> Tensor:
    luma, blue, red = ycc.unbind(1)
    blue, red = blue - 128, red - 128
    green = _descaled(-22554 * blue - 46802 * red, 16)
    parts = luma + _descaled(91881 * red, 16), luma + green, luma + _descaled(116130 * blue, 16)
    return torch.stack(parts, 1).clamp(0, 255)


def _coded(planes: Tensor, steps: Tensor) -> Tensor:
    """Planes ``(B, C, H, W)``, sides multiples of 8, with coefficients rounded to the steps."""
    half = torch.tensor(_HALF_DCT).to(planes)
    sign = torch.tensor([1, -1]).repeat(4)[:, None].to(planes)
    dct = torch.cat((half, sign * half.flip(1)), 1)
    blocks = planes.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4) - 128
    found = _descaled(dct @ _descaled(blocks @ dct.T, 11), 15)
    rounded = ((found.abs() + 4 * steps) / (8 * steps)).floor() * found.sign() * steps
    back = _descaled(_descaled(dct.T @ rounded, 11) @ dct, 18)
    return (back + 128).clamp(0, 255).transpose(3, 4).flatten(4, 5).flatten(2, 3)


def _descaled(x: Tensor, bits: int) -> Tensor:
    return (x / 2**bits + 0.5).floor()


def _repeated(planes: Tensor, below: int, right: int) -> Tensor:
    return pad(planes, (0, right, 0, below), mode="replicate")


def _extended(planes: Tensor, multiple: int) -> Tensor:
    height, width = planes.shape[-2:]
    return _repeated(planes, -height % multiple, -width % multiple)


def _means(planes: Tensor) -> Tensor:
    """Of each 2×2; halves are rounded down and up in turns."""
    rows = planes[..., ::2, :] + planes[..., 1::2, :]
    sums = rows[..., ::2] + rows[..., 1::2]
    bias = 1 + torch.arange(sums.shape[-1], device=sums.device) % 2
    return ((sums + bias) / 4).floor()


def _doubled(planes: Tensor) -> Tensor:
    return planes.repeat_interleave(2, 2).repeat_interleave(2, 3)


def _smooth(planes: Tensor) -> Tensor:
    """Twice as large: three parts of the nearest, one of the next, in each direction."""
    ends = pad(planes, (0, 0, 1, 1), mode="replicate")
    above, below = 3 * planes + ends[..., :-2, :], 3 * planes + ends[..., 2:, :]
    rows = torch.stack((above, below), 3).flatten(2, 3)
    sides = pad(rows, (1, 1, 0, 0), mode="replicate")
    left, right = 3 * rows + sides[..., :-2] + 8, 3 * rows + sides[..., 2:] + 7
    return (torch.stack((left, right), 4).flatten(3, 4) / 16).floor()
