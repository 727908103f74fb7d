"""Tensors as pictures on a common scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unfold.errors import InputError

_MOST = 0.99  # of the values; what lies beyond is clipped, or a few pixels would set the scale
_DARK = 0.6  # a picture whose light values lie below this is brightened
_SIGNED = 0.1  # share of all magnitude below zero that makes a block a signed one


@dataclass(frozen=True)
class Shown:
    """Pictures on one scale.

    Attributes:
        pictures: ``(3, H, W)`` in [0, 1].
        scale: description of the scale.

    Example:
        >>> import torch
        >>> from unfold.trace import Shown
        >>> Shown((torch.zeros(3, 8, 8),), "as it is").scale
        'as it is'
    """

    pictures: tuple[Tensor, ...]
    scale: str


def show(tensors: Sequence[Tensor]) -> Shown:
    """Tensors ``(1 or 3, H, W)`` of one kind as pictures on a common scale.

    If there are negative values, gray is 0. Dark pictures are brightened, and the description
    states the factor. Values that are not finite are magenta.

    Raises:
        InputError: if the number of channels is not 1 or 3, or there are no tensors.

    Example:
        >>> import torch
        >>> from unfold.trace import show
        >>> show([torch.full((1, 8, 8), 0.25)]).scale
        '4× as bright as it is'
        >>> show([torch.full((3, 8, 8), 0.25), torch.full((3, 8, 8), -0.25)]).scale
        'gray is 0; white and black are ±0.25'
    """
    if not tensors or any(x.ndim != 3 or x.shape[0] not in (1, 3) for x in tensors):
        shapes = ", ".join(str(tuple(x.shape)) for x in tensors) or "nothing"
        raise InputError(f"pictures are (1 or 3, H, W), got {shapes}")
    values = torch.cat([x.float().flatten() for x in tensors])
    values = values[values.isfinite()]
    if not len(values):
        values = torch.zeros(1)
    if -values.clamp_max(0).sum() > _SIGNED * values.abs().sum():
        most = max(_top(values.abs()), 1e-12)
        pictures = [0.5 + x.float() / (2 * most) for x in tensors]
        scale = f"gray is 0; white and black are ±{most:.3g}"
    else:
        high = _top(values)
        dark = 0 < high < _DARK
        gain = 1 / high if dark else 1.0
        pictures = [x.float() * gain for x in tensors]
        scale = f"{gain:.3g}× as bright as it is" if dark else "as it is"
    return Shown(tuple(_finite(p, x) for p, x in zip(pictures, tensors, strict=True)), scale)


def _top(values: Tensor) -> float:
    """A high quantile of the values."""
    place = max(1, round(_MOST * len(values)))
    return values.kthvalue(place).values.item()


def _finite(picture: Tensor, given: Tensor) -> Tensor:
    color = picture.clamp(0, 1).nan_to_num().expand(3, -1, -1)
    bad = ~given.isfinite().all(0)
    magenta = picture.new_tensor([1.0, 0.0, 1.0])[:, None, None]
    return torch.where(bad, magenta, color).contiguous()
