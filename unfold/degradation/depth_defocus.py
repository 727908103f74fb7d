"""Defocus that grows with the distance from the plane in focus."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import EllipsisType

import torch
from torch import Tensor

from .aperture import SHAPES, aperture_kernels
from .base import Degradation, Parameters
from .blur import blur
from .chance import Range, check_range, columns, uniform


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
    show it, the visible colours near by are used instead (the last division); edges of separate
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
        ValueError: the disparity has another shape or leaves [0, 1].
    """

    light = "linear"
    inputs = ("disparity",)

    def __init__(
        self,
        *,
        focus: Range = (0.0, 1.0),
        strength: Range = (4.0, 12.0),
        tilt: Range = (0.3, 1.0),
    ) -> None:
        self.focus = check_range("depth-defocus: focus", focus, least=0, most=1)
        self.strength = check_range("depth-defocus: strength", strength, least=0)
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
        return torch.cat(
            [render(*one) for one in zip(image.split(1), radius.split(1), strict=True)]
        )


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
        image: ``(1, C, H, W)``, linear light.
        radius: ``(1, 1, H, W)`` in pixels; above 0 before the plane in focus, below 0 behind it.
    """
    left = torch.ones_like(radius)
    light = torch.zeros_like(image)
    nearest, furthest = math.ceil(radius.max().item()), math.floor(radius.min().item())
    for level in range(nearest, furthest - 1, -1):
        matte = (1 - (radius - level).abs()).clamp(min=0)
        if not matte.any():
            continue
        part = _reach(matte[0, 0], abs(level))
        layer = torch.cat((matte * image, matte), 1)[part]
        if level:
            layer = blur(layer, _disc(abs(level)).to(image))
        colour, alpha = layer[:, :-1], layer[:, -1:].clamp(min=0)
        light[part] += colour * (left[part] / alpha.clamp(min=1e-12)).clamp(max=1)
        left[part] = (left[part] - alpha).clamp(min=0)
    return light / (1 - left)


def _reach(matte: Tensor, radius: int) -> tuple[EllipsisType, slice, slice]:
    """The part of the photo that a layer's blur reaches. Beyond it, its mirror image is as empty
    as the layer is there; at the photo's border it is the photo's mirror image."""
    rows, columns = (matte.any(axis).nonzero() for axis in (1, 0))
    margin = radius + 1
    return (
        ...,
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + margin + 1),
        slice(max(int(columns[0]) - margin, 0), int(columns[-1]) + margin + 1),
    )


def _disc(radius: float) -> Tensor:
    one = torch.ones(1, dtype=torch.float64)
    disc = torch.tensor([SHAPES.index("disc")])
    return aperture_kernels(disc, radius * one, one, 0 * one, one)


def _check(disparity: Tensor, image: Tensor) -> None:
    wanted = (len(image), 1, *image.shape[-2:])
    if disparity.shape != wanted:
        raise ValueError(
            f"depth-defocus: the disparity has shape {tuple(disparity.shape)}, must be {wanted}"
        )
    if not bool(((disparity >= 0) & (disparity <= 1)).all()):
        raise ValueError(
            "depth-defocus: the disparity must be within [0, 1] and have no holes; divide it by "
            "its largest value and fill NaN"
        )
