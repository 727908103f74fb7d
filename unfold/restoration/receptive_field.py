"""The effective receptive field and the memory of a model, measured on the given photo."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from unfold.restorer import Restoration, Restorer

from .device import LiveBytes
from .grid import ALIGN

# The error at the radius is below this: an eighth of a step of 8 bits is 5e-4.
_TOLERANCE = 2.5e-4
# Other places of the photo may need a little more than the measured window.
_SPARE = 8
_SIDES = (384, 768, 1536)
PROBE = 256
_CORNER = 32  # too small for a kernel to be estimated
# Operators take memory of their own, and allocators keep some. Measured on a CPU, process against
# live tensors: 1.1 (zero-dce) to 2.5 (lednet-small). On a GPU its allocator counts all but what
# fragments.
_OVERHEAD_CPU, _OVERHEAD_CUDA = 2.5, 1.25


@dataclass(frozen=True)
class ReceptiveField:
    """Effective receptive field of a model on one photo.

    Attributes:
        radius: pixels farther than this from the edge of a tile change by at most ``error`` if the
            rest of the photo is left out.
        error: the change, in units of [0, 1].
    """

    radius: int
    error: float

    @property
    def found(self) -> bool:
        return self.error <= _TOLERANCE


def measure_receptive_field(
    model: Restorer,
    photo: Tensor,
    *,
    kernel: Tensor | None,
    measurements: Mapping[str, Tensor],
    device: torch.device,
    pixels: int,
) -> ReceptiveField:
    """Measure the receptive field by restoring a window of the photo and a smaller one within it.

    The radius is the depth from the border of the smaller window up to which the two results
    differ. It covers the kernel, the networks, the iterations and the treatment of borders. Larger
    windows are tried until the difference falls below the tolerance.

    Args:
        model: model in eval mode, on ``device``.
        photo: ``(1, C, H, W)``, on the CPU.
        kernel: kernel of the blur, if it is known.
        measurements: measurements of the whole photo, see `Restorer.measure`.
        device: device of the model.
        pixels: largest number of pixels to restore at once.
    """
    field, last = ReceptiveField(0, math.inf), 0
    for side in _SIDES:
        side = min(side, math.isqrt(max(pixels, 0)) // ALIGN * ALIGN)
        height, width = (min(side, n // ALIGN * ALIGN) for n in photo.shape[-2:])
        cut = min(height, width) // 4 // ALIGN * ALIGN
        if cut == 0 or max(height, width) == last:
            break
        last = max(height, width)
        rows, columns = most_detailed(photo, height, width)
        window = photo[..., rows, columns].to(device)
        known = model.part_of(measurements, rows, columns)
        known = with_pooled_features(model, window, kernel, known)
        options = {"measurements": known} if known else {}
        whole = model(window, kernel=kernel, **options).image
        inner = slice(cut, height - cut), slice(cut, width - cut)
        options = {"measurements": model.part_of(known, *inner)} if known else {}
        part = model(window[..., inner[0], inner[1]], kernel=kernel, **options).image
        error = (whole[..., inner[0], inner[1]] - part).abs().amax((0, 1))
        field = _depth(error, min(cut, min(error.shape) // 2 - ALIGN // 2))
        if field.found:
            return ReceptiveField(field.radius + _SPARE, field.error)
    return field


def with_pooled_features(
    model: Restorer, window: Tensor, kernel: Tensor | None, measurements: Mapping[str, Tensor]
) -> Mapping[str, Tensor]:
    """The measurements, and the means of the pooled features over this window."""
    if not model.pooled_features:
        return measurements
    options = {"measurements": measurements} if measurements else {}
    parts = model(window, kernel=kernel, **options).parts
    pooled = {name: parts[name].mean((-2, -1), keepdim=True) for name in model.pooled_features}
    return {**measurements, **pooled}


def bytes_per_pixel(
    model: Callable[..., Restoration], photo: Tensor, kernel: Tensor | None, device: torch.device
) -> float:
    """Bytes of memory that restoration takes per pixel, measured on a window of the photo.

    The measurements that a `Restorer` needs are those of a corner of the window. To estimate a
    kernel takes seconds, and memory that does not grow with the photo.
    """
    side = PROBE if kernel is None else max(PROBE, 4 * max(kernel.shape[-2:]))
    rows, columns = most_detailed(photo, side, side)
    window = photo[..., rows, columns].to(device, copy=True)  # a view would count as the photo
    if isinstance(model, Restorer) and kernel is None and not model.needs_kernel:
        known = dict(model.measure(window[..., :_CORNER, :_CORNER]))
        known = {name: value for name, value in known.items() if name not in model.measured_maps}
        model = partial(model, measurements=known) if known else model
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


def most_detailed(photo: Tensor, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the window of the photo with the most detail, at most ``height × width``:
    the effective receptive field is largest there."""
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
    return slice(top, top + height), slice(left, left + width)


def _depth(error: Tensor, deepest: int) -> ReceptiveField:
    """The smallest distance from the borders beyond which the error is small, or ``deepest``."""
    height, width = error.shape
    for distance in range(0, deepest, 4):
        rest = error[distance : height - distance, distance : width - distance].max().item()
        if rest <= _TOLERANCE:
            return ReceptiveField(distance, rest)
    inner = error[deepest : height - deepest, deepest : width - deepest]
    return ReceptiveField(deepest, inner.max().item())
