"""Kernels of a lens out of focus."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SHAPES = ("disc", "gaussian", "plateau")
SUBPIXELS = 5  # odd, so that one lies at the center and the smallest kernel is a point
CUTOFF = 4.0  # in standard deviations


def aperture_kernels(
    shape: Tensor, radius: Tensor, ratio: Tensor, angle: Tensor, beta: Tensor
) -> Tensor:
    """What lenses out of focus make of a point, ``(B, 1, size, size)`` float64, each of sum 1.

    With ``q = (u/a)² + (v/b)²`` in coordinates ``(u, v)`` rotated by ``angle``:

    - disc: 1 where ``q <= 1``, else 0, with ``a = radius``: a lens of even aperture;
    - gaussian: ``exp(−q^β / 2)``, with ``a = radius / 2``, which for ``β = 1`` spreads a point as
      widely as the disc does (the same variance along each axis);
    - plateau: ``1 / (q^β + 1)``, likewise;

    and ``b = ratio · a``. (``q`` is ``xᵀ Σ⁻¹ x``.) The last two end at ``q = 16``, as they have no
    end of their own. Each is averaged over every pixel's area at 5×5 places, which makes the
    disc's edge smooth and its size any fraction of a pixel. They are symmetric, and so centered at
    ``size // 2``; ``size`` is odd and fits the largest.

    Args:
        shape: ``(B,)`` indices into `SHAPES`.
        radius: ``(B,)`` in pixels; 0 is a point.
        ratio: ``(B,)`` of the axes, in (0, 1].
        angle: ``(B,)`` of the longer axis, in radians from the horizontal, downwards.
        beta: ``(B,)``; below 1 peaked with long tails, above 1 flat with steep flanks.
    """
    # Not kornia's kernels: they have no disc and no β, and sample at the centers of pixels.
    disc = shape == SHAPES.index("disc")
    axis = torch.where(disc, radius, radius / 2).clamp(min=1e-6)
    reach = math.ceil((torch.where(disc, 1.0, CUTOFF) * axis).max().item() + 0.5)
    size = 2 * reach + 1
    places = size * SUBPIXELS
    place = (torch.arange(places, device=radius.device) - places // 2).double() / SUBPIXELS
    y, x = place[:, None], place
    cos, sin, axis, ratio, beta = (
        v[:, None, None] for v in (angle.cos(), angle.sin(), axis, ratio, beta)
    )
    q = ((cos * x + sin * y) / axis) ** 2 + ((cos * y - sin * x) / (ratio * axis)) ** 2
    powered = q**beta
    bell = torch.where(q <= CUTOFF**2, (-powered / 2).exp(), 0.0)
    plateau = torch.where(q <= CUTOFF**2, 1 / (powered + 1), 0.0)
    # (Its edge fades over one place: a sharp one would run through many of them at once.)
    even = ((1 - q.sqrt()) * axis * SUBPIXELS + 0.5).clamp(0, 1)
    fine = torch.stack((even, bell, plateau))[shape, torch.arange(len(shape), device=shape.device)]
    kernel = torch.nn.functional.avg_pool2d(fine[:, None], SUBPIXELS)
    return kernel / kernel.sum((2, 3), keepdim=True)
