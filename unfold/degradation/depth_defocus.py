"""Defocus that grows with the distance from the plane in focus."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import EllipsisType
from typing import Annotated

import torch
from torch import Tensor

from unfold.errors import InputError

from .base import Degradation, Parameters
from .blur import blur
from .kernels import SHAPES, aperture_kernels
from .rng import IN_ORDER, Pixels, Share, check_range, columns, uniform


class DepthDefocus(Degradation):
    """Blur by a thin lens in a scene of varying depth, in linear light.

    A point at disparity ``d`` (inverse depth; 1 is nearest) becomes a disc of radius
    ``|d − focus| · strength`` pixels, the circle of confusion of a thin lens. The scene is cut
    into layers at every whole radius, before and behind the plane in focus; a pixel between two
    layers belongs to both, by its nearness. Each layer ``k`` and its matte ``m_k`` (the mattes sum
    to 1) is blurred by its own disc, and they are laid on one another from near to far, each
    taking what light the nearer ones leave::

        A_k = H_k ⊗ m_k,    C_k = H_k ⊗ (m_k x),    left_0 = 1
        share_k = min(A_k, left_k),   left_{k+1} = left_k − share_k
        y = Σ share_k C_k / A_k  /  Σ share_k

    So a blurred background does not spill over a sharp object before it, and a blurred object
    in front does spill over a sharp background. Alphas of layers add up, as those of one slanted
    surface do. Its limits: what an object hides is not known, and where its blurred edge would
    show it, the visible colors near by are used instead (the last division); edges of separate
    things that overlap are taken for one; and the cost grows with the number of layers, one blur
    each of the part of the photo that it reaches, as many as the range of radii spans pixels.

    Options:
        focus: range of the disparity in focus, within 0 to 1.
        strength: range of the radius, in pixels, at a disparity of 1 from the focus.
        tilt: where a photo comes without disparity, it is taken for a plane whose disparity goes
            from ``½ − tilt/2`` to ``½ + tilt/2`` in a random direction; range of ``tilt``,
            within 0 to 1.

    Inputs: ``disparity``, ``(B, 1, H, W)`` in [0, 1], or None.

    Parameters: ``focus``, ``strength``, ``tilt``, ``direction``, each ``(B,)``.

    Raises:
        InputError: the disparity has another shape or leaves [0, 1].

    Example:
        >>> import torch
        >>> from unfold.degradation import DepthDefocus
        >>> lens = DepthDefocus(focus=(1.0, 1.0), strength=(4.0, 4.0))  # focused on the nearest
        >>> photo = torch.rand(1, 3, 32, 32)
        >>> near, far = torch.ones(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
        >>> sharp = lens(photo, generator=torch.Generator(), disparity=near)
        >>> blurred = lens(photo, generator=torch.Generator(), disparity=far)
        >>> torch.allclose(sharp, photo, atol=1e-6), bool(blurred.std() < 0.5 * photo.std())
        (True, True)
    """

    color_space = "linear"
    inputs = ("disparity",)

    def __init__(
        self,
        *,
        focus: Annotated[tuple[Share, Share], IN_ORDER] = (0.0, 1.0),
        strength: Annotated[tuple[Pixels, Pixels], IN_ORDER] = (4.0, 12.0),
        tilt: Annotated[tuple[Share, Share], IN_ORDER] = (0.3, 1.0),
    ) -> None:
        self.focus = check_range("depth-defocus: focus", focus, least=0, most=1)
        self.strength = check_range("depth-defocus: strength", strength, least=0, most=500)
        self.tilt = check_range("depth-defocus: tilt", tilt, least=0, most=1)

    def sample(self, batch: int, generator: torch.Generator) -> Parameters:
        return {
            "focus": uniform(batch, self.focus, generator),
            "strength": uniform(batch, self.strength, generator),
            "tilt": uniform(batch, self.tilt, generator),
            "direction": uniform(batch, (0.0, 2 * math.pi), generator),
        }

    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        focus, strength = columns(image, parameters, "focus", "strength")
        disparity = inputs.get("disparity")
        if disparity is None:
            disparity = plane(image, parameters)
        _check(disparity, image)
        radius = (disparity.to(image) - focus) * strength
        return render(image, radius)


def plane(image: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    """The disparity of a tilted plane, ``(B, 1, H, W)``: in perspective it is affine in the
    pixel's place."""
    height, width = image.shape[-2:]
    tilt, direction = columns(image, parameters, "tilt", "direction")
    y, x = (
        (torch.arange(n, device=image.device, dtype=image.dtype) + 0.5) / n - 0.5
        for n in (height, width)
    )
    cos, sin = direction.cos(), direction.sin()
    along = (cos * x + sin * y[:, None]) / (cos.abs() + sin.abs())
    return (0.5 + tilt * along).clamp(0, 1)


def render(image: Tensor, radius: Tensor) -> Tensor:
    """The photo with a circle of confusion at every pixel (see `DepthDefocus`).

    Args:
        image: ``(B, C, H, W)``, linear light.
        radius: ``(B, 1, H, W)`` in pixels; above 0 before the plane in focus, below 0 behind it.
    """
    if not len(image):
        return image.clone()
    left = torch.ones_like(radius)
    light = torch.zeros_like(image)
    for level, part in _layers(radius):
        matte = _matte(radius[part], level)
        layer = torch.cat((matte * image[part], matte), 1)
        if level:
            layer = blur(layer, _disc(abs(level)).to(image))
        color, alpha = layer[:, :-1], layer[:, -1:].clamp(min=0)
        light[part] += color * (left[part] / alpha.clamp(min=1e-12)).clamp(max=1)
        left[part] = (left[part] - alpha).clamp(min=0)
    return light / (1 - left)


def _layers(radius: Tensor) -> Iterator[tuple[int, tuple[EllipsisType, slice, slice]]]:
    """The layers that any photo has, nearest first, and the part of the photos that the blur of
    each reaches. Beyond it, its mirror image is as empty as the layer is there; at the photo's
    border it is the photo's mirror image.

    (Which layers there are is asked in two questions, not in two for each: a GPU waits for the
    answer.)
    """
    least, most = torch.stack(radius.aminmax()).cpu().tolist()
    levels = range(math.ceil(most), math.floor(least) - 1, -1)
    mattes = (_matte(radius, level)[:, 0] > 0 for level in levels)
    filled = torch.stack([torch.cat((m.any(0).any(1), m.any(0).any(0))) for m in mattes]).cpu()
    height = radius.shape[-2]
    for level, where in zip(levels, filled, strict=True):
        if where.any():
            margin = abs(level) + 1
            ends = (
                line.nonzero()[[0, -1], 0].tolist() for line in (where[:height], where[height:])
            )
            rows, columns = (slice(max(a - margin, 0), b + margin + 1) for a, b in ends)
            yield level, (..., rows, columns)


def _matte(radius: Tensor, level: int) -> Tensor:
    return (1 - (radius - level).abs()).clamp(min=0)


def _disc(radius: int) -> Tensor:
    one = torch.ones(1, dtype=torch.float64)
    disc = torch.tensor([SHAPES.index("disc")])
    return aperture_kernels(disc, radius * one, one, 0 * one, one)


def _check(disparity: Tensor, image: Tensor) -> None:
    wanted = (len(image), 1, *image.shape[-2:])
    if disparity.shape != wanted:
        raise InputError(
            f"depth-defocus: the disparity has shape {tuple(disparity.shape)}, must be {wanted}"
        )
    if not bool(((disparity >= 0) & (disparity <= 1)).all()):
        raise InputError(
            "depth-defocus: the disparity must be within [0, 1] and have no holes; divide it by "
            "its largest value and fill NaN"
        )
