"""How far a model looks, and how much memory it takes, measured on the photo at hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from unfold.core import Restorer

from .grid import ALIGN
from .memory import LiveBytes

# What may be left at the distance that is called the reach: an eighth of a step of 8 bits is 5e-4.
_TOLERANCE = 2.5e-4
# Another place of the photo may need a little more than the one that was looked at.
_SPARE = 8
_SIDES = (384, 768, 1536)
PROBE = 256
# Operators take memory of their own, and allocators keep some. Measured on a CPU, process against
# live tensors: 1.1 (zero-dce) to 2.5 (lednet-small). On a GPU its allocator counts all but what
# fragments.
_OVERHEAD_CPU, _OVERHEAD_CUDA = 2.5, 1.25


@dataclass(frozen=True)
class Reach:
    """From ``pixels`` inside an edge on, what lies beyond it changes the result by ``left`` at
    most."""

    pixels: int
    left: float

    @property
    def found(self) -> bool:
        return self.left <= _TOLERANCE


def measure_reach(
    model: Restorer,
    photo: Tensor,
    *,
    kernel: Tensor | None,
    guide: Mapping[str, Tensor],
    device: torch.device,
    pixels: int,
) -> Reach:
    """Restore a window of a photo, and a window within it: how deep do they differ?

    Kernel, networks, iterations and the treatment of borders all count, with what the photo makes
    of them. Larger windows are tried until the depth is found.

    Args:
        model: what restores.
        photo: ``(1, 3, H, W)``, on the CPU.
        kernel: of the blur.
        guide: see `Restorer`.
        device: of the model.
        pixels: the most that may be restored at once.
    """
    reach, last = Reach(0, math.inf), 0
    for side in _SIDES:
        side = min(side, math.isqrt(max(pixels, 0)) // ALIGN * ALIGN)
        height, width = (min(side, n // ALIGN * ALIGN) for n in photo.shape[-2:])
        cut = min(height, width) // 4 // ALIGN * ALIGN
        if cut == 0 or max(height, width) == last:
            break
        last = max(height, width)
        window = detailed(photo, height, width).to(device)
        options = (
            {"guide": with_means(model, window, kernel, guide)} if guide or model.means else {}
        )
        whole = model(window, kernel=kernel, **options).image
        inner = window[..., cut : height - cut, cut : width - cut]
        part = model(inner, kernel=kernel, **options).image
        error = (whole[..., cut : height - cut, cut : width - cut] - part).abs().amax((0, 1))
        reach = _depth(error, min(cut, min(error.shape) // 2 - ALIGN // 2))
        if reach.found:
            return Reach(reach.pixels + _SPARE, reach.left)
    return reach


def with_means(
    model: Restorer, window: Tensor, kernel: Tensor | None, guide: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """A guide that has the means that the model asks for, of this window."""
    if not model.means:
        return guide
    parts = model(window, kernel=kernel, **({"guide": guide} if guide else {})).parts
    return {**guide, **{name: parts[name].mean((-2, -1), keepdim=True) for name in model.means}}


def bytes_per_pixel(model: Restorer, photo: Tensor, kernel: Tensor | None, device: torch.device):
    """Memory that restoring takes for each pixel, of a window that is not too small to tell."""
    side = PROBE if kernel is None else max(PROBE, 4 * max(kernel.shape[-2:]))
    window = detailed(photo, side, side).to(device, copy=True)  # a view would count as the photo
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        model(window, kernel=kernel)
        peak = _OVERHEAD_CUDA * (torch.cuda.max_memory_allocated(device) - before)
    else:
        with LiveBytes() as counted:
            model(window, kernel=kernel)
        peak = _OVERHEAD_CPU * counted.peak
    return peak / (window.shape[-2] * window.shape[-1])


def detailed(photo: Tensor, height: int, width: int) -> Tensor:
    """The window of a photo with the most in it, of a size or what there is of it: where there is
    nothing to see a model looks less far."""
    height, width = min(height, photo.shape[-2]), min(width, photo.shape[-1])
    thin = photo[:, 1:2, ::4, ::4]
    detail = torch.zeros_like(thin)
    detail[..., 1:, 1:] = thin.diff(dim=-1)[..., 1:, :].abs() + thin.diff(dim=-2)[..., 1:].abs()
    size = max(1, height // 4), max(1, width // 4)
    size = min(size[0], thin.shape[-2]), min(size[1], thin.shape[-1])
    step = max(1, size[0] // 2), max(1, size[1] // 2)
    score = avg_pool2d(detail, size, step)[0, 0]
    row, column = divmod(int(score.argmax()), score.shape[1])
    top = min(4 * row * step[0], photo.shape[-2] - height) // ALIGN * ALIGN
    left = min(4 * column * step[1], photo.shape[-1] - width) // ALIGN * ALIGN
    return photo[..., top : top + height, left : left + width]


def _depth(error: Tensor, deepest: int) -> Reach:
    """The least distance from the borders from which on the error is small, or ``deepest``."""
    height, width = error.shape
    for distance in range(0, deepest, 4):
        left = error[distance : height - distance, distance : width - distance].max().item()
        if left <= _TOLERANCE:
            return Reach(distance, left)
    inner = error[deepest : height - deepest, deepest : width - deepest]
    return Reach(deepest, inner.max().item())
