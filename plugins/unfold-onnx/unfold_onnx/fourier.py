"""Real Fourier transforms as real matrix products, for runtimes without complex numbers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.overrides import TorchFunctionMode


class MatrixFourier(TorchFunctionMode):
    """Context in which ``torch.fft.rfft2`` and ``irfft2`` over the last two axes are matrix
    products.

    A transform of length ``N = a·b`` consists of transforms of length a and, for each of their
    frequencies, of length b (Cooley and Tukey). Each is a product with a real matrix of at most 2b
    rows, and the mean is processed separately. The accuracy is that of an FFT, which a product with
    one N × N matrix does not reach, and neither does onnxruntime's DFT operator if N is not a power
    of 2 (see the README).

    Matrices are computed at the first use of a size, outside of any trace: run the function once
    before exporting it.

    Example::

        >>> x = torch.rand(2, 3, 48, 31)
        >>> want = torch.fft.rfft2(x)
        >>> with MatrixFourier():
        ...     got = torch.fft.rfft2(x)
        >>> torch.allclose(got, want, atol=1e-3)
        True
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        replaced = {torch.fft.rfft2: rfft2, torch.fft.irfft2: irfft2}.get(func, func)
        return replaced(*args, **(kwargs or {}))


def rfft2(x: Tensor, s: tuple[int, int] | None = None) -> Tensor:
    """`torch.fft.rfft2` of ``(..., H, W)``: ``(..., H, W // 2 + 1)``, complex."""
    if s is not None:
        x = pad(x, (0, s[1] - x.shape[-1], 0, s[0] - x.shape[-2]))
    height, width = x.shape[-2:]
    kept = width // 2 + 1
    mean = x.mean((-2, -1), keepdim=True)
    rows = _forward((x - mean).reshape(-1, width, 1), width, kept)
    columns = rows.reshape(-1, height, kept, 2).transpose(1, 2)
    made = _forward(columns.reshape(-1, height, 2), height, height)
    made = made.reshape(*x.shape[:-2], kept, height, 2).transpose(-3, -2)
    return torch.view_as_complex(made + _alone(mean[..., None] * (height * width), made))


def irfft2(z: Tensor, s: tuple[int, int]) -> Tensor:
    """`torch.fft.irfft2` of ``(..., H, W // 2 + 1)`` to ``(..., H, W)``."""
    height, width = s
    kept = width // 2 + 1
    parts = torch.view_as_real(z)
    mean = parts[..., :1, :1, :1]
    parts = (parts - _alone(mean, parts)).transpose(-3, -2)
    columns = _inverse(parts.reshape(-1, height, 2), height, 2)
    rows = columns.reshape(-1, kept, height, 2).transpose(1, 2)
    made = _inverse(rows.reshape(-1, kept, 2), width, 1)
    return made.reshape(*z.shape[:-2], height, width) + mean[..., 0] / (height * width)


def _alone(mean: Tensor, spectrum: Tensor) -> Tensor:
    """A spectrum ``(..., H, W, 2)`` that contains frequency zero only, from ``(..., 1, 1, 1)``."""
    height, width, _ = spectrum.shape[-3:]
    return pad(mean, (0, 1, 0, width - 1, 0, height - 1))


def _forward(x: Tensor, length: int, kept: int) -> Tensor:
    """The first frequencies, ``(R, kept, 2)``, of signals ``(R, length, 1 or 2)``."""
    a, b = _factors(length)
    first, second = _matrices(length, kept, x.shape[-1], inverse=False, dtype=x.dtype)
    x = x.reshape(-1, a, b, x.shape[-1]).transpose(1, 2).flatten(2) @ first
    x = x.unflatten(-1, (a, 2)).permute(2, 0, 1, 3).flatten(2) @ second
    return x.unflatten(-1, (-1, 2)).permute(1, 2, 0, 3).flatten(1, 2)[:, :kept]


def _inverse(x: Tensor, length: int, parts: int) -> Tensor:
    """Signals ``(R, length, parts)``, real ones with 1 part, from their first frequencies
    ``(R, kept, 2)``. It is the adjoint of `_forward`, with weights."""
    a, b = _factors(length)
    kept = x.shape[1]
    first, second = _matrices(length, kept, parts, inverse=True, dtype=x.dtype)
    x = pad(x, (0, 0, 0, -kept % a)).unflatten(1, (-1, a))
    x = x.permute(2, 0, 1, 3).flatten(2) @ second
    x = x.unflatten(-1, (b, 2)).permute(1, 2, 0, 3).flatten(2) @ first
    return x.unflatten(-1, (a, parts)).transpose(1, 2).flatten(1, 2)


def _factors(length: int) -> tuple[int, int]:
    """``a · b = length`` with ``a <= b``, as close to each other as possible."""
    a = max(n for n in range(1, int(length**0.5) + 1) if length % n == 0)
    return a, length // a


@lru_cache
def _matrices(
    length: int, kept: int, parts: int, *, inverse: bool, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """``(a parts, 2a)`` and ``(a, 2b, 2⌈kept/a⌉)``, or their transposes with the weights of the
    inverse: ``1/length``; for real signals twice that if the conjugate is omitted."""
    a, b = _factors(length)
    many = -(-kept // a)
    first = _real(np.outer(np.arange(a), np.arange(a)) / a, parts)
    frequency = np.arange(a)[:, None] + a * np.arange(many)  # (k1, k2)
    turns = (np.arange(b)[:, None] * frequency[:, None] % length) / length
    second = np.stack([_real(each, 2) for each in turns])
    if inverse:
        double = (frequency > 0) & (2 * frequency < length) & (parts == 1)
        weights = np.where(double, 2, 1) / length * (frequency < kept)
        second = (second * np.repeat(weights, 2, 1)[:, None]).swapaxes(1, 2)
        first = first.T
    made = (torch.from_numpy(np.ascontiguousarray(m)).to(dtype) for m in (first, second))
    return tuple(made)  # type: ignore[return-value]


def _real(turns: np.ndarray, parts: int) -> np.ndarray:
    """``exp(−2πi turns)`` ``(n, m)`` as the real matrix ``(parts n, 2m)`` that multiplies rows of
    real numbers, or of pairs of real and imaginary parts."""
    angle = 2 * np.pi * (turns % 1)
    c, s = np.cos(angle), -np.sin(angle)
    rows = (np.stack((c, s), -1), np.stack((-s, c), -1))[:parts]
    return np.stack(rows, 1).reshape(parts * len(turns), -1)
