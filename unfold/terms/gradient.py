"""The gradient of an expression, for priors on edges."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from unfold.core.expression import Mapped
from unfold.core.operators import FourierDiagonal, Structure, image, spectrum
from unfold.core.state import State


class Difference(Mapped):
    """``∇x``: forward differences with circular borders, Fourier-diagonal.

    Args:
        of: ``x``, ``(B, C, H, W)``; the result is ``(B, 2C, H, W)``: ``∂x`` (to the right) of all
            channels, then ``∂y`` (downwards) of all channels.

    Source: Wang, Yang, Yin and Zhang, "A new alternating minimization algorithm for total
    variation image reconstruction", SIAM Journal on Imaging Sciences 2008.
    """

    outer_structure = Structure.FOURIER
    symbol, word = "∇", "grad"

    def shape(self, state: State) -> torch.Size:
        batch, channels, *size = self.of.shape(state)
        return torch.Size((batch, 2 * channels, *size))

    def outer(self, state: State) -> FourierDiagonal:
        x = state[self.of.names[0]]  # (for its type and device)
        domain = self.of.shape(state)
        # It depends on the size only: the cached value stays valid if an entry is replaced.
        name = f"F ∇ on {tuple(domain[-2:])}, {x.dtype}, {x.device}"
        otf = state.derive(name, (), lambda: _transfer_functions(domain, x))
        power = state.derive(f"|{name}|²", (), lambda: _total_power(domain, x))
        return _Differences(otf, domain, power)

    def value(self, state: State) -> Tensor:
        return differences(self.of.value(state))

    def inverse(self, name: str, state: State, target: Tensor | None = None) -> Tensor | None:
        return None

    def gram_formula(self, name: str) -> str:
        if self.of.symbols(name):
            return super().gram_formula(name)
        return "(|F(∂x)|² + |F(∂y)|²)"


def differences(x: Tensor) -> Tensor:
    """``∇x``: circular forward differences.

    Args:
        x: ``(B, C, H, W)``.

    Returns:
        ``(B, 2C, H, W)``: to the right for all channels, then downwards for all.

    Example:
        >>> import torch
        >>> from unfold.terms import differences
        >>> differences(torch.tensor([[[[1.0, 3.0, 6.0]]]]))
        tensor([[[[ 2.,  3., -5.]],
        <BLANKLINE>
                 [[ 0.,  0.,  0.]]]])
    """
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return torch.cat((x.roll(-1, -1) - x, x.roll(-1, -2) - x), 1)
    # The same without the copies of roll, in less than half the time.
    y = x.new_empty(x.shape[0], 2 * x.shape[1], *x.shape[2:])
    right, down = y.chunk(2, 1)
    torch.sub(x[..., 1:], x[..., :-1], out=right[..., :-1])
    torch.sub(x[..., :1], x[..., -1:], out=right[..., -1:])
    torch.sub(x[..., 1:, :], x[..., :-1, :], out=down[..., :-1, :])
    torch.sub(x[..., :1, :], x[..., -1:, :], out=down[..., -1:, :])
    return y


def differences_adjoint(y: Tensor) -> Tensor:
    """``∇ᵀy``, the negative circular divergence: ``(B, 2C, H, W)`` to ``(B, C, H, W)``."""
    right, down = y.chunk(2, 1)
    if torch.is_grad_enabled() or torch.compiler.is_compiling():
        return right.roll(1, -1) - right + down.roll(1, -2) - down
    x = y.new_empty(right.shape)
    torch.sub(right[..., :-1], right[..., 1:], out=x[..., 1:])
    torch.sub(right[..., -1:], right[..., :1], out=x[..., :1])
    x[..., 1:, :] += down[..., :-1, :]
    x[..., :1, :] += down[..., -1:, :]
    return x.sub_(down)


class _Differences(FourierDiagonal):
    """``∇``, or ``∇ K`` for a convolution K; its Gram matrix is that of one convolution."""

    inner: FourierDiagonal | None = None

    def after(self, inner: FourierDiagonal) -> _Differences:
        power = self.gram_power() * inner.gram_power()
        composed = _Differences(self.otf, inner.domain, power, self.sign * inner.sign)
        composed.inner = inner
        return composed

    def mv(self, x: Tensor) -> Tensor:
        blurred = x if self.inner is None else self.inner.sign * self.inner.mv(x)
        return self.sign * differences(blurred)

    def adjoint(self, y: Tensor) -> Tensor:
        pulled = self.pull(y)
        return self.sign * (image(pulled, self.domain) if pulled.is_complex() else pulled)

    # In the pixel basis: this needs half as many transforms as the Fourier basis.
    def pull(self, y: Tensor) -> Tensor:
        pulled = differences_adjoint(y)
        return pulled if self.inner is None else self.inner.pull(pulled)

    def adjoint_spectrum(self, y: Tensor) -> Tensor:
        right, down = y.chunk(2, 1)
        conjugate = self.otf.conj()
        pulled = conjugate[:, :1] * right + conjugate[:, 1:] * down
        return pulled if self.inner is None else self.inner.adjoint_spectrum(pulled)

    def gram(self, x: Tensor) -> Tensor:
        return image(self.gram_power() * spectrum(x), self.domain)


def _transfer_functions(domain: torch.Size, like: Tensor) -> Tensor:
    """Transfer functions of the differences to the right and downwards, for the grid of a shape."""
    right, down = (_transfer(domain[axis], like) for axis in (-1, -2))
    right = right[: domain[-1] // 2 + 1].expand(domain[-2], -1)
    return torch.stack((right, down[:, None].expand_as(right)))[None]


def _total_power(domain: torch.Size, like: Tensor) -> Tensor:
    right, down = (_power(domain[axis], like) for axis in (-1, -2))
    return (down[:, None] + right[: domain[-1] // 2 + 1])[None, None]


def _frequencies(length: int, like: Tensor) -> Tensor:
    real = like.dtype if like.dtype == torch.float64 else torch.float32
    return torch.arange(length, dtype=real, device=like.device) * (2 * math.pi / length)


def _transfer(length: int, like: Tensor) -> Tensor:
    frequencies = _frequencies(length, like)
    return torch.complex(frequencies.cos() - 1, frequencies.sin())


def _power(length: int, like: Tensor) -> Tensor:
    # |e^iω − 1|², without the cancellation in the square of the transfer function.
    return 4 * (_frequencies(length, like) / 2).sin().square()
