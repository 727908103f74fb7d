"""Blur kernels: of a moving camera, of a lens out of focus, and wrong ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unfold.errors import InputError
from unfold.terms.blur import center_of_mass

STEPS = 2000
TURNS = 6.0


def motion_kernel(
    size: int = 31, *, extent: float | None = None, generator: torch.Generator | None = None
) -> Tensor:
    """The path of a shaking camera during one exposure, ``(1, 1, size, size)`` float32, sum 1.

    One of `motion_kernels`.

    Args:
        size: side in pixels, odd or even, at least 3.
        extent: largest distance of the path from its centroid, in pixels; by default, and at
            most, what fits the kernel.
        generator: for a reproducible path.

    Example:
        >>> import torch
        >>> from unfold.degradation import motion_kernel
        >>> kernel = motion_kernel(21, generator=torch.Generator().manual_seed(0))
        >>> kernel.shape, round(kernel.sum().item(), 4), bool((kernel >= 0).all())
        (torch.Size([1, 1, 21, 21]), 1.0, True)
    """
    fits = (size - 1) // 2 - 0.5
    extent = fits if extent is None else extent
    if size < 3 or not 0 < extent <= fits:
        raise InputError(
            f"motion_kernel(size={size}, extent={extent}): size must be at least 3 and extent "
            f"in (0, {max(fits, 0.5)}]"
        )
    noise = torch.randn(STEPS, 2, generator=generator, dtype=torch.float64)
    one = noise.new_ones(1)
    return motion_kernels(noise[None], extent * one, TURNS * one, size).float()


def motion_kernels(noise: Tensor, extent: Tensor, turns: Tensor, size: int) -> Tensor:
    """Paths of a shaking camera, ``(B, 1, size, size)`` float64, each of sum 1.

    The hand's velocity is a random walk that is pulled back to rest (an Ornstein-Uhlenbeck
    process, stationary from the start); its integral, centered on its centroid and scaled to the
    extent, is drawn with bilinear weights. After Boracchi and Foi, "Modeling the performance of
    image restoration from motion blur", IEEE TIP 2012, without their rare jerks.

    Args:
        noise: ``(B, steps, 2)`` standard normal, float64: all that is random in a path.
        extent: ``(B,)``: largest distance of a path from its centroid, in pixels; up to
            ``(size − 1) // 2 − 0.5``.
        turns: ``(B,)``: exposure time over the correlation time of the hand's velocity; 0 is a
            straight line at constant speed. Below 300.
        size: side in pixels, odd or even.
    """
    # Not kornia's get_motion_kernel2d: its paths are straight lines.
    steps = noise.shape[1]
    memory = (-turns / steps).exp()[:, None, None]
    kicks = (1 - memory**2).sqrt() * noise
    kicks[:, 0] = noise[:, 0]
    # v_i = m v_{i−1} + kick_i, summed up: v_i = m^i Σ_{j<=i} kick_j / m^j.
    faded = memory ** torch.arange(steps, dtype=noise.dtype, device=noise.device)[:, None]
    path = (faded * (kicks / faded).cumsum(1)).cumsum(1)
    path -= path.mean(1, keepdim=True)
    path *= (extent / path.norm(dim=2).amax(1))[:, None, None]
    return _splat(path + size // 2, size)


def disturbed(kernel: Tensor, error: float, generator: torch.Generator) -> Tensor:
    """A kernel ``(1, 1, h, w)`` with errors like those of an estimate, without a shift.

    It is blurred, multiplied by smooth noise and raised to a power, and small entries are set to
    zero. Then its center of mass is moved back and its sum is normalized to 1.

    Args:
        error: size of the errors. With 1, the standard deviation of the blur is up to 1 pixel, that
            of the noise up to half of the entries, the power is from 0.67 to 1.5, and entries below
            up to 8 % of the largest are set to zero. All are reduced by a common random factor in
            [0, 1].
        generator: random number generator.
    """
    from kornia.filters import gaussian_blur2d
    from kornia.geometry.transform import translate

    size = error * float(torch.rand((), generator=generator))
    spread, least, power = torch.rand(3, generator=generator).tolist()
    noise = torch.randn(kernel.shape, generator=generator, dtype=kernel.dtype).to(kernel)
    if size == 0:
        return kernel
    sigma = max(size * spread, 1e-3)
    rough = gaussian_blur2d(kernel, (5, 5), (sigma, sigma), "constant")
    smooth = gaussian_blur2d(noise, (5, 5), (1.0, 1.0))
    rough = rough * (0.5 * size * smooth / smooth.std()).exp()
    rough = (rough / rough.max()) ** (1.5 ** (size * (2 * power - 1)))
    rough = torch.where(rough < 0.08 * size * least, 0, rough)
    rough = rough / rough.sum()
    shift = center_of_mass(kernel) - center_of_mass(rough)
    rough = translate(rough, shift.flip(0)[None], align_corners=True)
    return rough / rough.sum()


def kernel_size(extent: Tensor) -> int:
    """The smallest odd side that is sufficient for paths of these extents."""
    return 2 * math.ceil(extent.max().item() + 0.5) + 1


def _splat(points: Tensor, size: int) -> Tensor:
    """Points ``(B, N, 2)`` in pixels, drawn with bilinear weights; ``(B, 1, size, size)``."""
    batch, count, _ = points.shape
    corner = points.floor().long()
    fraction = points - corner
    kernel = points.new_zeros(batch * size * size)
    first = size * size * torch.arange(batch, device=points.device)[:, None]
    for dy in (0, 1):
        for dx in (0, 1):
            weight = (fraction[..., 0] - (1 - dy)).abs() * (fraction[..., 1] - (1 - dx)).abs()
            index = first + (corner[..., 0] + dy) * size + corner[..., 1] + dx
            kernel.index_add_(0, index.flatten(), weight.flatten())
    return kernel.view(batch, 1, size, size) / count


SHAPES = ("disc", "gaussian", "plateau")
SUBPIXELS = 5  # odd, so that one lies at the center and the smallest kernel is a point
CUTOFF = 4.0  # in standard deviations


def aperture_kernels(
    shape: Tensor,
    radius: Tensor,
    ratio: Tensor,
    angle: Tensor,
    beta: Tensor,
    *,
    reach: int | None = None,
) -> Tensor:
    """Kernels of lenses out of focus, ``(B, 1, size, size)`` float64, each of sum 1.

    With ``q = (u/a)² + (v/b)²`` in coordinates ``(u, v)`` rotated by ``angle``:

    - disc: 1 where ``q <= 1``, else 0, with ``a = radius``: a lens of even aperture;
    - gaussian: ``exp(−q^β / 2)``, with ``a = radius / 2``, which for ``β = 1`` spreads a point as
      widely as the disc does (the same variance along each axis);
    - plateau: ``1 / (q^β + 1)``, likewise;

    and ``b = ratio · a``. (``q`` is ``xᵀ Σ⁻¹ x``.) The last two, which are unbounded, are cut off
    at ``q = 16``. Each is averaged over 5×5 positions within every pixel, which makes the edge of
    the disc smooth and fractional radii possible. They are symmetric and therefore centered at
    ``size // 2``; ``size`` is odd and sufficient for all.

    Args:
        shape: ``(B,)`` indices into `SHAPES`.
        radius: ``(B,)`` in pixels; 0 is a point.
        ratio: ``(B,)`` of the axes, in (0, 1].
        angle: ``(B,)`` of the longer axis, in radians from the horizontal, downwards.
        beta: ``(B,)``; below 1 peaked with long tails, above 1 flat with steep flanks.
        reach: ``size // 2``, if it is known; it must suffice for all.
    """
    # Not kornia's kernels: they have no disc and no β, and sample at the centers of pixels.
    disc = shape == SHAPES.index("disc")
    axis = torch.where(disc, radius, radius / 2).clamp(min=1e-6)
    if reach is None:
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
