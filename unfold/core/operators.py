"""Linear maps on batches of images: ``mv``, ``adjoint`` and ``gram``.

There are three kinds, which determine the normal equations: pixel-diagonal maps, Fourier-diagonal
maps, and maps that are given as functions only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from enum import Enum
from functools import lru_cache

import torch
from torch import Tensor

__all__ = [
    "FourierDiagonal",
    "LinearMap",
    "MatrixFree",
    "PixelDiagonal",
    "Structure",
    "image",
    "power_spectrum",
    "spectrum",
]


class Structure(Enum):
    """The structure of ``JᵀJ``, known before any value; it determines the solver of a block.

    Example:
        >>> from unfold.core import Structure
        >>> Structure.FOURIER + Structure.SCALAR
        <Structure.FOURIER: 'Fourier-diagonal'>
        >>> Structure.FOURIER + Structure.PIXEL
        <Structure.MATRIX_FREE: 'matrix-free'>
    """

    SCALAR = "scalar"
    PIXEL = "pixel-diagonal"
    FOURIER = "Fourier-diagonal"
    MATRIX_FREE = "matrix-free"

    def __add__(self, other: Structure) -> Structure:
        """The structure of a sum or composition of maps: scalars do not change it, and diagonals in
        two bases give a matrix-free map."""
        if self is other or other is Structure.SCALAR:
            return self
        return other if self is Structure.SCALAR else Structure.MATRIX_FREE


class LinearMap(ABC):
    """``x -> J x`` from images of shape ``domain`` to images of another shape.

    ``adjoint`` and ``gram`` return tensors of exactly the shape ``domain``: where ``mv``
    broadcasts (a one-channel illumination times a three-channel reflectance), they sum.

    Example:
        >>> import torch
        >>> from unfold.core import LinearMap
        >>> class Flip(LinearMap):
        ...     domain = torch.Size((1, 1, 1, 3))
        ...     def mv(self, x):
        ...         return x.flip(-1)
        ...     def adjoint(self, y):
        ...         return y.flip(-1)
        >>> x = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> Flip().mv(x), Flip().gram(x)
        (tensor([[[[3., 2., 1.]]]]), tensor([[[[1., 2., 3.]]]]))
    """

    domain: torch.Size
    sign: float = 1.0
    """1 or −1, a factor of the map, which has no effect on the Gram matrix."""

    @abstractmethod
    def mv(self, x: Tensor) -> Tensor:
        """``J x``."""

    @abstractmethod
    def adjoint(self, y: Tensor) -> Tensor:
        """``Jᵀ y``, of the shape ``domain``."""

    def gram(self, x: Tensor) -> Tensor:
        """``JᵀJ x``, of the shape ``domain``."""
        return self.adjoint(self.mv(x))

    def pull(self, y: Tensor) -> Tensor:
        """``Jᵀ y`` without the sign, in the cheapest basis: a complex tensor is the spectrum."""
        return _signed(self.adjoint(y), self.sign)

    def mean_gram(self) -> Tensor | None:
        """The power spectrum of a convolution that approximates ``JᵀJ``; None if unknown."""
        return None

    def scaled(self, factor: float) -> LinearMap:
        """``factor · J``."""
        if factor == 1:
            return self
        return MatrixFree(
            lambda x: factor * self.mv(x),
            lambda y: factor * self.adjoint(y),
            self.domain,
            None if (power := self.mean_gram()) is None else factor**2 * power,
        )


def _signed(x: Tensor, sign: float) -> Tensor:
    return x if sign == 1 else -x


class PixelDiagonal(LinearMap):
    """``x -> d ⊙ x`` with a diagonal ``d`` that is a number or broadcasts against the image.

    Args:
        diagonal: a number (then the Gram matrix is a multiple of the identity) or a tensor.
        domain: shape ``(B, C, H, W)`` of ``x``.
        codomain: shape of ``d ⊙ x``; differs from ``domain`` if the result is broadcast.
        sign: a factor of the map, which has no effect on the Gram matrix.

    Example:
        >>> import torch
        >>> from unfold.core import PixelDiagonal
        >>> mask = torch.tensor([[[[1.0, 0.0, 1.0]]]])
        >>> x = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> PixelDiagonal(mask, x.shape).mv(x)
        tensor([[[[1., 0., 3.]]]])
    """

    def __init__(
        self,
        diagonal: float | Tensor,
        domain: torch.Size,
        codomain: torch.Size | None = None,
        sign: float = 1.0,
    ) -> None:
        self.diagonal = diagonal
        self.sign = sign
        self.domain = domain
        if codomain is None:
            codomain = domain
            if isinstance(diagonal, Tensor):
                codomain = broadcast_shapes(domain, diagonal.shape)
        self.codomain = codomain

    def mv(self, x: Tensor) -> Tensor:
        return (self.sign * self.diagonal * x).expand(self.codomain)

    def adjoint(self, y: Tensor) -> Tensor:
        return _signed(self.pull(y), self.sign)

    def pull(self, y: Tensor) -> Tensor:
        one = not isinstance(self.diagonal, Tensor) and self.diagonal == 1
        return (y if one else self.diagonal * y).expand(self.codomain).sum_to_size(self.domain)

    def gram_diagonal(self) -> float | Tensor:
        """The diagonal of ``JᵀJ``: a number, or a tensor of the shape ``domain``."""
        if isinstance(self.diagonal, Tensor):
            return self.diagonal.square().expand(self.codomain).sum_to_size(self.domain)
        return self.diagonal**2 * (self.codomain.numel() // self.domain.numel())

    def gram(self, x: Tensor) -> Tensor:
        return self.gram_diagonal() * x

    def mean_gram(self) -> Tensor | None:
        diagonal = self.gram_diagonal()
        if isinstance(diagonal, Tensor):
            return diagonal.mean((-2, -1), keepdim=True)
        return torch.full((1, 1, 1, 1), diagonal)

    def scaled(self, factor: float) -> PixelDiagonal:
        sign = self.sign if factor > 0 else -self.sign
        diagonal = self.diagonal if abs(factor) == 1 else abs(factor) * self.diagonal
        return PixelDiagonal(diagonal, self.domain, self.codomain, sign)

    def onto(self, codomain: torch.Size) -> PixelDiagonal:
        """The same map, with its result broadcast to a shape."""
        return PixelDiagonal(self.diagonal, self.domain, codomain, self.sign)

    @property
    def is_scalar(self) -> bool:
        """Whether the map is a multiple of the identity."""
        return not isinstance(self.diagonal, Tensor) and self.domain == self.codomain


class FourierDiagonal(LinearMap):
    """Circular convolution ``x -> F⁻¹(t ⊙ F x)`` with a real kernel's transfer function ``t``.

    Args:
        otf: ``(B or 1, C or 1, H, W // 2 + 1)`` complex: ``spectrum`` of the kernel with its center
            at the origin.
        domain: shape ``(B, C, H, W)`` of ``x``.
        power: ``|otf|²``, if it is already known.
        sign: a factor of the map.

    Example:
        >>> import torch
        >>> from unfold.core import FourierDiagonal
        >>> shift = torch.fft.rfft2(torch.tensor([[[[0.0, 1.0, 0.0, 0.0]]]]))
        >>> x = torch.tensor([[[[1.0, 2.0, 3.0, 4.0]]]])
        >>> FourierDiagonal(shift, x.shape).mv(x).round()
        tensor([[[[4., 1., 2., 3.]]]])
    """

    def __init__(
        self,
        otf: Tensor,
        domain: torch.Size,
        power: Tensor | None = None,
        sign: float = 1.0,
    ) -> None:
        self.otf = otf
        self.domain = domain
        self._power = power
        self.sign = sign

    def mv(self, x: Tensor) -> Tensor:
        return _signed(image(self.otf * spectrum(x), self.domain), self.sign)

    def adjoint(self, y: Tensor) -> Tensor:
        return _signed(image(self.adjoint_spectrum(spectrum(y)), self.domain), self.sign)

    def pull(self, y: Tensor) -> Tensor:
        return self.adjoint_spectrum(spectrum(y))

    def after(self, inner: FourierDiagonal) -> FourierDiagonal:
        """The composition of this map with an inner one."""
        return FourierDiagonal(self.otf * inner.otf, inner.domain, sign=self.sign * inner.sign)

    def mean_gram(self) -> Tensor | None:
        return self.gram_power()

    def scaled(self, factor: float) -> FourierDiagonal:
        copied = copy(self)
        copied.sign = self.sign if factor > 0 else -self.sign
        if abs(factor) != 1:
            copied.otf = abs(factor) * self.otf
            copied._power = None if self._power is None else factor**2 * self._power
        return copied

    def adjoint_spectrum(self, y: Tensor) -> Tensor:
        """``F(Jᵀ y)`` from ``F y``, without the sign, so that a sum of such terms needs one inverse
        transform."""
        return sum_spectrum(self.otf.conj() * y, self.domain)

    def gram_power(self) -> Tensor:
        """The spectrum of ``JᵀJ``, real: ``|otf|²`` summed over broadcast channels."""
        power = power_spectrum(self.otf) if self._power is None else self._power
        if power.shape[1] > self.domain[1]:
            return power.sum(1, keepdim=True)
        return power

    def gram(self, x: Tensor) -> Tensor:
        return image(self.gram_power() * spectrum(x), self.domain)


class MatrixFree(LinearMap):
    """A map given by two functions.

    Args:
        mv: ``x -> J x``.
        adjoint: ``y -> Jᵀ y``.
        domain: shape ``(B, C, H, W)`` of ``x``.
        stationary: power spectrum of a convolution that approximates ``JᵀJ``, broadcastable to
            ``(B, C, H, W // 2 + 1)``; the preconditioner of the solve. Any positive value gives the
            correct solution; a good approximation is fast.
        local: a better approximation of a map that varies over the image, ``Σ_m u_m C_m u_m``:
            windows u, ``(B, M, H, W)``, whose squares sum to 1 over M, and the power spectra of the
            convolutions C_m, ``(B, M, H, W // 2 + 1)``.

    Example:
        >>> import torch
        >>> from unfold.core import MatrixFree
        >>> x = torch.tensor([[[[1.0, 2.0, 3.0]]]])
        >>> shift = MatrixFree(lambda x: x.roll(1, -1), lambda y: y.roll(-1, -1), x.shape)
        >>> shift.mv(x), shift.adjoint(shift.mv(x))
        (tensor([[[[3., 1., 2.]]]]), tensor([[[[1., 2., 3.]]]]))
    """

    def __init__(
        self,
        mv: Callable[[Tensor], Tensor],
        adjoint: Callable[[Tensor], Tensor],
        domain: torch.Size,
        stationary: Tensor | None = None,
        local: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self._mv = mv
        self._adjoint = adjoint
        self.domain = domain
        self.stationary = stationary
        self.local = local

    def mv(self, x: Tensor) -> Tensor:
        return self._mv(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._adjoint(y)

    def mean_gram(self) -> Tensor | None:
        if self.local is None:
            return self.stationary
        windows, powers = self.local
        return (windows.square().mean((-2, -1), keepdim=True) * powers).sum(1, keepdim=True)

    def scaled(self, factor: float) -> MatrixFree:
        if factor == 1:
            return self
        power, local = self.stationary, self.local
        return MatrixFree(
            lambda x: factor * self.mv(x),
            lambda y: factor * self.adjoint(y),
            self.domain,
            None if power is None else factor**2 * power,
            None if local is None else (local[0], factor**2 * local[1]),
        )


def composed(outer: LinearMap, inner: LinearMap) -> LinearMap:
    """``outer · inner``, diagonal if both are diagonal in the same basis."""
    if isinstance(inner, PixelDiagonal) and inner.is_scalar:
        return outer.scaled(inner.sign * inner.diagonal)  # type: ignore[operator]
    if isinstance(outer, PixelDiagonal) and isinstance(inner, PixelDiagonal):
        diagonal = outer.diagonal * inner.diagonal
        return PixelDiagonal(diagonal, inner.domain, outer.codomain, outer.sign * inner.sign)
    if isinstance(outer, PixelDiagonal) and outer.is_scalar:
        return inner.scaled(outer.sign * outer.diagonal)  # type: ignore[operator]
    if isinstance(outer, FourierDiagonal) and type(inner) is FourierDiagonal:
        return outer.after(inner)
    return MatrixFree(
        lambda x: outer.mv(inner.mv(x)),
        lambda y: inner.adjoint(outer.adjoint(y)),
        inner.domain,
        _product(outer.mean_gram(), inner.mean_gram(), inner.domain),
    )


def added(one: LinearMap, other: LinearMap) -> LinearMap:
    """The sum of two maps of one block, diagonal if both are diagonal in the same basis."""
    if isinstance(one, PixelDiagonal) and isinstance(other, PixelDiagonal):
        diagonal = one.sign * one.diagonal + other.sign * other.diagonal
        return PixelDiagonal(diagonal, one.domain, broadcast_shapes(one.codomain, other.codomain))
    left, right = _as_fourier(one), _as_fourier(other)
    if left is not None and right is not None:
        return FourierDiagonal(torch.as_tensor(left + right), one.domain)
    return MatrixFree(
        lambda x: one.mv(x) + other.mv(x),
        lambda y: one.adjoint(y) + other.adjoint(y),
        one.domain,
    )


def _as_fourier(operator: LinearMap) -> Tensor | float | None:
    """The transfer function of a convolution or of a multiple of the identity."""
    if type(operator) is FourierDiagonal:
        return operator.sign * operator.otf
    if isinstance(operator, PixelDiagonal) and operator.is_scalar:
        return operator.sign * operator.diagonal
    return None


def _product(outer: Tensor | None, inner: Tensor | None, domain: torch.Size) -> Tensor | None:
    """The product of the power spectra of two maps, if their grids agree or one is constant."""
    if outer is None or inner is None:
        return None
    flat = 1 in (outer.shape[-2] * outer.shape[-1], inner.shape[-2] * inner.shape[-1])
    if not flat and outer.shape[-2:] != inner.shape[-2:]:
        return None
    # (The inner map has summed over the axes that it broadcasts.)
    shared = [axis for axis in (0, 1) if domain[axis] == 1]
    return (outer.mean(shared, keepdim=True) if shared else outer) * inner


def broadcast_shapes(*shapes: tuple[int, ...]) -> torch.Size:
    """The shape to which the given shapes broadcast."""
    if torch.compiler.is_compiling():  # (the compiler warns about caches)
        return torch.broadcast_shapes(*shapes)  # pyright: ignore
    return _broadcast_shapes(*shapes)


# Cached: a run uses few shapes, and torch takes longer for this than for adding two small images.
@lru_cache
def _broadcast_shapes(*shapes: tuple[int, ...]) -> torch.Size:
    return torch.broadcast_shapes(*shapes)  # pyright: ignore


def spectrum(x: Tensor) -> Tensor:
    """Real 2-D FFT over the last two axes; half precisions are transformed in float32.

    Example:
        >>> import torch
        >>> from unfold.core.operators import spectrum
        >>> spectrum(torch.ones(1, 1, 2, 2)).shape
        torch.Size([1, 1, 2, 2])
    """
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    return torch.fft.rfft2(x)  # pyright: ignore (torch does not type it)


# On CPUs, torch before 2.9 raises "MKL FFT error" for an expanded gradient, such as that of a sum.
_DENSE_GRADIENTS = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 9)


def image(spectrum: Tensor, shape: torch.Size) -> Tensor:
    """The real image of a half spectrum; ``shape`` distinguishes odd and even widths.

    Example:
        >>> import torch
        >>> from unfold.core.operators import image, spectrum
        >>> x = torch.rand(1, 3, 4, 5)
        >>> image(spectrum(x), x.shape).allclose(x)
        True
    """
    made: Tensor = torch.fft.irfft2(spectrum, s=shape[-2:])  # pyright: ignore (torch does not type)
    if _DENSE_GRADIENTS and made.requires_grad:  # pyright: ignore
        made.register_hook(_dense)  # pyright: ignore
    return made  # pyright: ignore


def _dense(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.contiguous()


def filtered(spectrum: Tensor, response: Tensor) -> Tensor:
    """A spectrum times a real response."""
    if torch.compiler.is_compiling():
        # Compilers fuse real arithmetic only. (Without a compiler, torch's real loops over a
        # broadcast last axis are ten times slower than its complex ones.)
        return torch.view_as_complex(torch.view_as_real(spectrum) * response[..., None])
    return spectrum * response


def power_spectrum(otf: Tensor) -> Tensor:
    """``|otf|²``, real, without the square root of ``abs`` and its gradient.

    Example:
        >>> import torch
        >>> from unfold.core.operators import power_spectrum
        >>> power_spectrum(torch.tensor([3 + 4j]))
        tensor([25.])
    """
    return otf.real.square() + otf.imag.square()


def sum_spectrum(y: Tensor, domain: torch.Size) -> Tensor:
    """Sum a spectrum over the channels or images along which a map was broadcast."""
    return y.sum_to_size(*domain[:-2], *y.shape[-2:])
