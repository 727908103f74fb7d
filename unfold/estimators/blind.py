"""Blind estimation of the kernel of camera shake."""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d, pad

from unfold.core import Stage, State, Unrolled
from unfold.core.inputs import check_values
from unfold.core.pyramid import coarse_to_fine
from unfold.errors import InputError
from unfold.imaging.boundary import pad_periodic
from unfold.priors.denoiser import Denoiser
from unfold.terms import differences, embed_kernel
from unfold.terms.blur import center_of_mass

from .blind_stages import BLURRED, FIT, kernel_stage, latent_stages
from .defects import is_point
from .noise import estimate_noise
from .roles import KernelEstimator

_SMALLEST = 5  # kernel size at the coarsest level
_ALTERNATIONS = 5
_LAMBDA, _LEAST_LAMBDA, _DECAY = 8e-3, 1e-4, 1.1
# An alternation starts with the strongest gradients: in each of four directions, at least this many
# times the kernel size.
_STRONGEST = 20
_LEAST_EDGE = 0.005  # the weakest of these, if full exposure is 0.6; denoising leaves weaker ones
_FAINT, _ISLAND = 0.05, 0.1  # relative to the largest entry, and to the sum
# A stroke covers at least this many pixels, and this share of the length that follows from its
# spread.
_LEAST_PIXELS, _LEAST_SHARE = 5.0, 0.95
_MOST_PIXELS = 0.5  # of a kernel, as a share of the pixels of its square
_LEAST_SPREAD = 1.1  # in pixels; lenses and files cause a smaller spread
# Standard deviations of noise, if full exposure is 0.6: the largest without denoising, and the
# largest at which a kernel can be estimated after denoising.
_BORNE, _MOST_NOISE = 0.02, 0.08
# A dark photo is scaled until this share of its pixels lies below 0.6; by at most 0.6 / 0.02.
_WHITE, _EXPOSED, _DARKEST = 0.998, 0.6, 0.02
# Pixels are clipped from this share of the largest value on. If less of the photo than the second
# number is far from clipped pixels, these are not excluded.
_CLIPPED, _LEAST_TRUSTED = 0.98, 0.4
_HALVED = 256  # smallest side, in pixels, of halves that are compared
# The costs of a half under the photo's kernel and under its own are compared at this λ. The photo's
# may exceed that of a stroke by 3 % (that of a wrong kernel did by 4 to 14 %), and that of a point
# by 35 %: the true kernel costs up to 1.24 times a point in a shaken half, from 1.5 in a sharp one.
_COST_LAMBDA, _LIKE_STROKE, _LIKE_POINT = 5e-4, 1.03, 1.35


class _Solvers(NamedTuple):
    denoiser: Denoiser
    latent: Unrolled
    kernel: Stage


class Compared(NamedTuple):
    """A photo's kernel, compared with those of its halves; all kernels are ``(1, 1, n, n)``.

    Attributes:
        kernel: that of the photo.
        agreement: the `correlation` of the kernels of the halves: 1 if the photo has no kernel, 0
            if only the halves have none.
        parts: the kernels of the halves; none if the photo has no kernel.
    """

    kernel: Tensor
    agreement: float
    parts: list[Tensor]


class BlindKernel(KernelEstimator):
    """Estimates the kernel of a uniform camera shake.

    It minimizes alternately over the sharp image I and the kernel H, from a small version of the
    photo to the full one::

        min ½‖H⊗I − X‖² + λ/2 ‖∇I‖₀
        min ½‖H⊗S − ∇X‖² + γ/2 ‖H‖²,   S the strongest gradients of I

    X is the mean of the photo's channels, denoised (`Denoiser`) if σ > 0.02. The first problem is
    split by G = ∇I, whose penalty doubles in each round; the second is solved by conjugate
    gradients on the kernel's own grid. After each update of the kernel, entries below 5 % of the
    largest and components with less than 10 % of the sum are set to zero; H is normalized to sum 1
    and centered on its mass. The selection of strong gradients, the ridge and the levels
    (`coarse_to_fine`) avoid the trivial solution: a point as the kernel and the photo as the image.

    Clipped pixels, such as lamps, do not follow the convolution and are excluded: within the kernel
    size of a clipped pixel S is 0, and ``H⊗S`` of the previous estimate replaces ∇X.

    Errors due to noise differ between parts of a photo, and the kernel does not. If σ > 0.02, the
    result is therefore the mean of the kernels of the photo and of its halves (`compare_halves`). A
    dark photo is brightened first, and σ is the noise of the brightened photo. Of a large photo
    only the part with most edges is used.

    The result is a point, the kernel of a sharp photo, if the estimate is not a stroke
    (`is_stroke`), if σ > 0.08, or if the photo is less than twice as high or wide as the kernel. It
    is also a point if the kernels of the halves differ, unless the photo's kernel agrees with one
    of them and explains both halves (`explains`).

    Args:
        size: height and width of the kernel in pixels, odd: larger than the shake.
        side: largest side of the part that is used, in pixels.
        agreement: smallest correlation of the kernels of the photo's halves. If theirs is smaller
            (the camera turned, objects moved, or a half has few edges), a point is returned unless
            the photo's kernel explains both halves. It is ignored if the halves are smaller than
            256 pixels, and if it is 0.

    Raises:
        InputError: if the size is even.

    Source: Cho and Lee, "Fast motion deblurring", SIGGRAPH Asia 2009 (alternation, selection,
    levels); Xu, Zheng and Jia, "Unnatural L0 sparse representation for natural image deblurring",
    CVPR 2013 (the prior).

    Example:
        >>> import torch
        >>> from unfold.estimators import BlindKernel
        >>> flat = torch.full((1, 3, 64, 64), 0.5)  # without edges, a blur leaves no trace
        >>> kernel, _ = BlindKernel(size=15)(flat)
        >>> kernel.shape, kernel[0, 0, 7, 7].item()
        (torch.Size([1, 1, 15, 15]), 1.0)
    """

    def __init__(
        self,
        *,
        size: Annotated[int, Field(ge=3, le=255)] = 31,
        side: Annotated[int, Field(ge=64, le=8192)] = 768,
        agreement: Annotated[float, Field(ge=0, le=1)] = 0.55,
    ) -> None:
        super().__init__()
        if size % 2 == 0:
            raise InputError(f"size={size}: must be odd, so that the kernel has a center")
        self.kernel_size, self.side, self.agreement = size, side, agreement
        # (A tuple, not submodules: nothing in them is trained, and no model replaces their priors.)
        self._solvers = _Solvers(Denoiser(), latent_stages(), kernel_stage())

    def _apply(self, fn: Any, recurse: bool = True) -> BlindKernel:
        """Also move the denoiser, which is not a submodule, to the device or type."""
        self._solvers.denoiser._apply(fn, recurse)
        return super()._apply(fn, recurse)

    @staticmethod
    def option_errors(spec: Any) -> list[tuple[tuple[str], str]]:
        """The error of an even size."""
        error = "must be odd, so that the kernel has a center"
        return [] if spec.size % 2 else [(("size",), error)]

    @torch.no_grad()
    def forward(self, image: Tensor) -> tuple[Tensor, None]:
        return torch.cat([self._believed(photo) for photo in image.split(1)]), None

    def _believed(self, photo: Tensor) -> Tensor:
        """The kernel of one photo; a point if its halves are large and their kernels differ."""
        kernel, noisy = self.estimate(photo)
        if _side(photo) < _HALVED or not (noisy or self.agreement):
            return kernel
        found = self.compare_halves(photo, kernel, noisy)
        if found.agreement >= self.agreement or self._explains_both(photo, found):
            return found.kernel
        return point(self.kernel_size, photo)

    def _explains_both(self, photo: Tensor, found: Compared) -> bool:
        """Whether the photo's kernel agrees with that of one half and explains both halves."""
        strokes = [part for part in found.parts if not is_point(part)]
        return any(correlation(found.kernel, part) >= self.agreement for part in strokes) and all(
            self.explains(found.kernel, half, part)
            for half, part in zip(halves(photo), found.parts, strict=True)
        )

    @torch.no_grad()
    def compare_halves(self, photo: Tensor, kernel: Tensor, noisy: bool) -> Compared:
        """The kernel of one photo, compared with those of its halves.

        If the photo is noisy and its halves are large, its kernel becomes the mean of its own and
        the mean of the halves' kernels, shifted to fit it best.

        Args:
            photo: ``(1, C, H, W)``.
            kernel, noisy: what `estimate` returned for it.
        """
        if is_point(kernel):
            return Compared(kernel, 1.0, [])
        parts = [self.kernel_of(half) for half in halves(photo)]
        moved = [fitting(part, kernel) for part in parts if not is_point(part)]
        if not moved:
            return Compared(kernel, 0.0, parts)
        if noisy and _side(photo) >= _HALVED:
            kernel = centered(cleaned((kernel + sum(moved) / len(moved)) / 2))
        return Compared(kernel, correlation(*parts), parts)

    @torch.no_grad()
    def explains(self, kernel: Tensor, photo: Tensor, own: Tensor) -> bool:
        """Whether a kernel explains one photo about as well as the photo's own estimate: its cost
        is at most 1.03 times that of a stroke, or 1.35 times that of a point."""
        gray, lamps, _ = self._part(photo)
        bound = _LIKE_POINT if is_point(own) else _LIKE_STROKE
        return self._cost(kernel, gray, lamps) <= bound * self._cost(own, gray, lamps)

    def _cost(self, kernel: Tensor, gray: Tensor, lamps: Tensor) -> float:
        """``½‖H⊗I − X‖² + λ/2 ‖∇I‖₀`` after the minimization over I, without clipped pixels."""
        n = kernel.shape[-1]
        x = pad_periodic(gray, (n, n))[0]
        trusted = away_from(pad_periodic(lamps, (n, n))[0], n)
        lam = x.new_full((1, 1, 1, 1), _COST_LAMBDA)
        state = State({"X": x, "I": x, "G": differences(x), "H": kernel, "λ": lam})
        state = self._solvers.latent(state)
        fit = BLURRED(state).square()
        details = (state["G"] != 0).any(1, keepdim=True)
        return float((trusted * (fit + lam * details)).sum() / 2)

    @torch.no_grad()
    def kernel_of(self, photo: Tensor) -> Tensor:
        """The kernel ``(1, 1, n, n)`` of one photo, estimated without a comparison of halves."""
        return self.estimate(photo)[0]

    @torch.no_grad()
    def estimate(self, photo: Tensor) -> tuple[Tensor, bool]:
        """The kernel of one photo, as from `kernel_of`, and whether the photo is noisy."""
        check_values("a photo whose kernel is estimated", photo)
        n = self.kernel_size
        if min(photo.shape[-2:]) < 2 * n:
            return point(n, photo), False
        gray, lamps, noise = self._part(photo)
        if noise > _MOST_NOISE:
            return point(n, photo), True
        state = {
            "X": gray,
            "lamps": lamps,
            "H": _first(n, gray),
            "λ": gray.new_full((1, 1, 1, 1), _LAMBDA),
        }
        found = coarse_to_fine(self.alternate, state, levels(n), kernels=["H"])
        plausible = found["edge"] >= _LEAST_EDGE and is_stroke(found["H"])
        return (found["H"] if plausible else point(n, gray)), noise > _BORNE

    def _part(self, photo: Tensor) -> tuple[Tensor, Tensor, float]:
        """The part of a photo that is used: gray, at full exposure, denoised if it is noisy; its
        clipped pixels; and the standard deviation of its noise."""
        gray, lamps = photo.mean(1, keepdim=True), clipped(photo).to(photo)
        trusted = away_from(lamps, self.kernel_size)
        seen = gray[trusted > 0]
        white = seen.kthvalue(math.ceil(_WHITE * seen.numel())).values
        gain = (_EXPOSED / white.clamp_min(_DARKEST)).clamp_min(1)
        part = with_most_edges(gray * gain, self.side, trusted)
        exposed = gain * photo[part]
        noise = estimate_noise(exposed)
        if _BORNE < noise <= _MOST_NOISE:
            exposed = self._solvers.denoiser(exposed, noise.square())
        return exposed.mean(1, keepdim=True), lamps[part].clone(), float(noise)

    def alternate(self, state: State) -> State:
        """The alternations at one level."""
        h, lam = state["H"], state["λ"]
        n = h.shape[-1]
        x, _ = pad_periodic(state["X"], (n, n))
        trusted = away_from(pad_periodic(state["lamps"], (n, n))[0], n)
        has_lamps = not bool(trusted.all())
        gradient = differences(x)
        image = State({"X": x, "I": x, "G": gradient})
        kernel = State({"Y": gradient, "0": torch.zeros_like(h)})
        least = None
        for _ in range(_ALTERNATIONS):
            image = self._solvers.latent(image.replace("I", x).replace("H", h).replace("λ", lam))
            edges = trusted * differences(image["I"])
            size = edges.square().sum(1, keepdim=True)
            if least is None:
                least = _threshold(edges, size, _STRONGEST * n)
                state = state.replace("edge", least.sqrt())
            else:
                least = least / _DECAY**2
            strong = kernel.replace("S", edges * (size >= least)).replace("H", h)
            if has_lamps:
                strong = strong.replace("Y", gradient + (1 - trusted) * FIT(strong))
            h = centered(cleaned(self._solvers.kernel(strong)["H"]))
            lam = (lam / _DECAY).clamp_min(_LEAST_LAMBDA)
        return state.replace("H", h).replace("λ", lam)


def levels(size: int) -> list[float]:
    """Scales in steps of √2, from a kernel of about 5 pixels to full size."""
    count = max(0, round(2 * math.log2(size / _SMALLEST)))
    return [2.0 ** (-i / 2) for i in range(count, -1, -1)]


def with_most_edges(image: Tensor, side: int, trusted: Tensor) -> tuple[Any, ...]:
    """The index of the part of a photo ``(1, 1, H, W)``, at most ``side`` high and wide, with most
    edges where ``trusted`` is 1."""
    size = [min(side, n) for n in image.shape[-2:]]
    step = [max(1, (n - s) // 8) for n, s in zip(image.shape[-2:], size, strict=True)]
    edges = differences(image).abs().sum(1, keepdim=True)
    found = avg_pool2d(edges * trusted, size, step)
    row, column = divmod(int(found.argmax()), found.shape[-1])
    top, left = row * step[0], column * step[1]
    return ..., slice(top, top + size[0]), slice(left, left + size[1])


def clipped(image: Tensor) -> Tensor:
    """Where 3×3 pixels are as bright as the brightest of the photo, in two of three channels:
    bool, ``(B, 1, H, W)``."""
    value = median_channel(image)  # (a lamp may be colored)
    bright = (value >= _CLIPPED * value.amax((1, 2, 3), keepdim=True)).to(value)
    return -max_pool2d(-bright, 3, 1, 1) == 1


def median_channel(image: Tensor) -> Tensor:
    """The median over the channels, ``(B, 1, H, W)``."""
    if image.shape[1] != 3:
        return image.median(1, keepdim=True).values
    a, b, c = image.split(1, 1)
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))


def away_from(lamps: Tensor, distance: int) -> Tensor:
    """1 where no lamp is within a distance in rows or columns, otherwise 0; 1 everywhere if too
    little of the photo is away from lamps.

    Args:
        lamps: ``(1, 1, H, W)``, above 0.1 at lamps.
        distance: distance in pixels.
    """
    near = (lamps > 0.1).to(lamps)
    if near.any():
        for axis in (0, 1):
            window = [1, 1]
            window[axis] = 2 * distance + 1
            near = max_pool2d(near, window, 1, [n // 2 for n in window])
    return torch.ones_like(near) if 1 - near.mean() < _LEAST_TRUSTED else 1 - near


def is_stroke(kernel: Tensor) -> bool:
    """Whether a kernel ``(1, 1, h, w)`` is plausible for a shake or for defocus.

    A kernel covers ``1 / Σ H²`` pixels. A line of length l has the spread (standard deviation)
    ``l / √12``, and covers at least l pixels. The estimate of a sharp photo covers less than 5
    pixels, is a small blob or, if a texture repeats, consists of a few points far apart. The
    estimate of pure noise fills the square.
    """
    pixels = 1 / float(kernel.square().sum())
    variance = 0.0
    for axis in (-1, -2):
        mass = kernel.sum(axis).flatten()
        place = torch.arange(len(mass), dtype=mass.dtype, device=mass.device)
        variance += float(mass @ (place - mass @ place).square())
    spread = math.sqrt(variance)
    least = max(_LEAST_PIXELS, _LEAST_SHARE * math.sqrt(12) * spread)
    return spread >= _LEAST_SPREAD and least <= pixels <= _MOST_PIXELS * max(kernel.shape) ** 2


def correlation(one: Tensor, other: Tensor) -> float:
    """The largest normalized correlation of two kernels ``(1, 1, n, n)`` over all shifts."""
    return float(_correlations(one, other).max() / one.norm() / other.norm())


def fitting(one: Tensor, other: Tensor) -> Tensor:
    """A kernel ``(1, 1, n, n)``, shifted by whole pixels to its best correlation with another."""
    found = _correlations(one, other)
    n = one.shape[-1]
    down, right = (i - 2 * n if i > n else i for i in divmod(int(found.argmax()), 2 * n))
    moved = pad(one, (right, -right, down, -down))
    return moved / moved.sum()


def _correlations(one: Tensor, other: Tensor) -> Tensor:
    """``Σ one(p) other(p + s)`` at each shift s, on a sufficiently large periodic grid."""
    size = [2 * n for n in one.shape[-2:]]
    first, second = (torch.fft.rfft2(k, s=size) for k in (one, other))
    return torch.fft.irfft2(first.conj() * second, s=size)


def halves(image: Tensor) -> tuple[Tensor, ...]:
    """The halves of a photo ``(B, C, H, W)``, across its longer side."""
    return image.chunk(2, -1 if image.shape[-1] >= image.shape[-2] else -2)


def _side(photo: Tensor) -> int:
    """The shortest side of the halves of a photo."""
    return min(min(half.shape[-2:]) for half in halves(photo))


def point(size: int, like: Tensor) -> Tensor:
    """The kernel ``(1, 1, size, size)`` of a photo without blur."""
    return embed_kernel(like.new_ones(1, 1, 1, 1), (size, size))


def _first(size: int, like: Tensor) -> Tensor:
    """A short horizontal stroke."""
    kernel = like.new_zeros(1, 1, size, size)
    kernel[..., size // 2, size // 2 - size // 5 : size // 2 + 1] = 1
    return kernel / kernel.sum()


def _threshold(edges: Tensor, size: Tensor, count: int) -> Tensor:
    """The squared gradient that ``count`` pixels exceed in each of four directions."""
    right, down = edges.chunk(2, 1)
    direction = (torch.atan2(down, right) % math.pi * (4 / math.pi)).long().clamp_max(3)
    least = [
        size[direction == i].topk(min(count, int((direction == i).sum()))).values[-1:]
        for i in range(4)
    ]
    return torch.cat(least).amin()


def cleaned(kernel: Tensor) -> Tensor:
    """A kernel without faint entries and small components, nonnegative, with sum 1."""
    from kornia.contrib import connected_components

    if not kernel.amax() > 0:  # (a photo without edges)
        return point(kernel.shape[-1], kernel)
    kernel = torch.where(kernel < _FAINT * kernel.amax(), 0, kernel)
    islands = connected_components((kernel > 0).to(kernel), num_iterations=2 * kernel.shape[-1])
    shares = torch.zeros_like(kernel).flatten()
    _, index = islands.unique(return_inverse=True)
    shares.index_add_(0, index.flatten(), kernel.flatten())
    kernel = torch.where(shares[index] < _ISLAND * kernel.sum(), 0, kernel)
    if not kernel.sum() > 0:  # (only small components: rounding errors of a flat photo)
        return point(kernel.shape[-1], kernel)
    return kernel / kernel.sum()


def centered(kernel: Tensor) -> Tensor:
    """A kernel ``(1, 1, n, n)``, shifted so that its center of mass is in the middle, within half a
    pixel."""
    row, column = center_of_mass(kernel).tolist()
    down, right = kernel.shape[-2] // 2 - round(row), kernel.shape[-1] // 2 - round(column)
    moved = pad(kernel, (right, -right, down, -down))
    return moved / moved.sum()
