"""Borders of photos for circular convolution."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from unfold.core.operators import image, spectrum
from unfold.terms.blur import transfer_function


def odd(kernel: Tensor, size: tuple[int, int] = (1, 1), least: int = 1) -> Tensor:
    """Pad a kernel with zeros; its center ``(h // 2, w // 2)`` remains the center.

    Args:
        kernel: ``(B, 1, h, w)``.
        size: size of the photo.
        least: smallest height and width of the photo extended by half the kernel on each side.

    Returns:
        ``(B, 1, h', w')``, both odd, and as small as possible.
    """
    h, w = (side + 1 - side % 2 for side in kernel.shape[-2:])
    kernel = pad(kernel, (0, w - kernel.shape[-1], 0, h - kernel.shape[-2]))
    # n zeros on each side enlarge the extended photo by 2n.
    lacking = (least + 1 - a - b for a, b in zip(size, (h, w), strict=True))
    rows, columns = (max(0, -(-n // 2)) for n in lacking)
    return pad(kernel, (columns, columns, rows, rows))


def extend(photo: Tensor, kernel: Tensor) -> Tensor:
    """Extend a photo by half an odd kernel, by repeating its outermost pixels, and taper it."""
    rows, columns = (side // 2 for side in kernel.shape[-2:])
    return taper(pad(photo, (columns, columns, rows, rows), mode="replicate"), kernel)


def taper(x: Tensor, kernel: Tensor, times: int = 3) -> Tensor:
    """``x ← α ⊙ x + (1 − α) ⊙ (k ⊗ x)``, several times, with circular convolution.

    α is 1 in the middle, and falls to 0 at the border with the autocorrelation of the kernel's
    projections on rows and columns.

    Args:
        x: ``(B, C, H, W)``.
        kernel: ``(1 or B, 1, h, w)``.
        times: number of repetitions.
    """
    rows, columns = _rise(kernel.sum(-1), x.shape[-2]), _rise(kernel.sum(-2), x.shape[-1])
    inside = rows[..., :, None] * columns[..., None, :]
    otf = transfer_function(kernel, (x.shape[-2], x.shape[-1]))
    for _ in range(times):
        x = inside * x + (1 - inside) * image(otf * spectrum(x), x.shape)
    return x


def _rise(projection: Tensor, length: int) -> Tensor:
    """1 minus the autocorrelation of ``(..., n)``, at most 1, on a period of ``length − 1``; the
    first value is repeated at the end: ``(..., length)``."""
    period = max(1, length - 1)
    power = torch.fft.rfft(projection, n=period).abs().square()
    correlation = torch.fft.irfft(power, n=period)
    correlation = torch.cat((correlation, correlation[..., :1]), -1)[..., :length]
    return 1 - correlation / correlation.amax(-1, keepdim=True)
