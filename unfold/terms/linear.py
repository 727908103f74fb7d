"""Linear maps that are solved without a matrix: any function, and downsampling."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unfold.core.expression import Expression, Mapped
from unfold.core.operators import MatrixFree, Structure
from unfold.core.state import State
from unfold.errors import InputError, InputTypeError

__all__ = ["Applied"]

Function = Callable[[Tensor], Tensor]


class Applied(Mapped):
    """``A x`` for a linear map given as a function.

    Args:
        forward: ``x -> A x``, linear; from ``(B, C, H, W)`` to any shape with four axes.
        of: ``x``.
        adjoint: ``y -> Aᵀ y``; by default computed by automatic differentiation.

    Raises:
        InputError: (at its first use) if the function is not linear, or the adjoint is not its
            adjoint.

    Example:
        >>> import torch
        >>> import unfold as uf
        >>> from unfold.core import State
        >>> from unfold.terms.linear import Applied
        >>> shifted = Applied(lambda x: x.roll(1, -1), uf.blocks("x"))
        >>> shifted.value(State({"x": torch.tensor([[[[1.0, 2.0, 3.0]]]])}))
        tensor([[[[3., 1., 2.]]]])
    """

    outer_structure = Structure.MATRIX_FREE
    symbol, word = "A", "linear"

    def __init__(self, forward: Function, of: Expression, adjoint: Function | None = None) -> None:
        if not callable(forward):
            raise InputTypeError(f"linear(forward, x): forward is a function, got {forward!r:.40}")
        super().__init__(of)
        self.forward, self.adjoint = forward, adjoint
        self._is_checked = False

    def _example(self, state: State) -> Tensor:
        shape = self.of.shape(state)
        return state[self.of.names[0]].new_zeros(shape)

    def shape(self, state: State) -> torch.Size:
        example = self._example(state)
        with torch.no_grad():
            if not self._is_checked and not torch.compiler.is_compiling():
                self._check_linear(example)
                self._check_adjoint(example)
                self._is_checked = True
            return self.forward(example).shape

    def _check_linear(self, example: Tensor) -> None:
        """Check ``A(−2 v) = −2 A(v)``, which constants, powers and clips do not satisfy."""
        v = _wave(example)
        want, got = -2 * self.forward(v), self.forward(-2 * v)
        allowed = torch.finfo(v.dtype).eps ** 0.5 * want.abs().max()
        if not ((got - want).abs() <= allowed).all():
            raise InputError(
                f"{self.formula()} is not linear: its function gives A(-2 v) different from "
                "-2 A(v); give a linear function, and subtract a constant as data"
            )

    def _check_adjoint(self, example: Tensor) -> None:
        """Check ``⟨A v, u⟩ = ⟨v, Aᵀ u⟩``, with a given adjoint."""
        if self.adjoint is None:
            return
        v = _wave(example)
        mapped = self.forward(v)
        u = _wave(mapped).cos()
        pulled = self.adjoint(u)
        remedy = "give its adjoint, or none, and automatic differentiation computes it"
        if pulled.shape != v.shape:
            raise InputError(
                f"the adjoint of {self.formula()} gives {tuple(pulled.shape)} for a value "
                f"{tuple(u.shape)}, got x {tuple(v.shape)}: {remedy}"
            )
        want, got = (mapped * u).double().sum(), (v * pulled).double().sum()
        scale = mapped.norm() * u.norm() + v.norm() * pulled.norm()
        if not (got - want).abs() <= torch.finfo(v.dtype).eps ** 0.5 * scale:
            raise InputError(
                f"the adjoint of {self.formula()} is not that of its function: ⟨A v, u⟩ is "
                f"{want:.4g} and ⟨v, Aᵀ u⟩ {got:.4g} for the same v and u; {remedy}"
            )

    def outer(self, state: State) -> MatrixFree:
        adjoint = self.adjoint
        if adjoint is None:
            pullback = torch.func.vjp(self.forward, self._example(state))[1]
            adjoint = lambda y: pullback(y)[0]  # noqa: E731
        return MatrixFree(self.forward, adjoint, self.of.shape(state))

    def value(self, state: State) -> Tensor:
        return self.forward(self.of.value(state))

    def inverse(self, name: str, state: State, target: Tensor | None = None) -> Tensor | None:
        return None

    def code(self) -> str:
        raise InputError(
            f"{self.formula()} is a map given by a Python function, which cannot be written down"
        )


class Downsampled(Mapped):
    """``S x``: every ``factor``-th pixel of every ``factor``-th row, starting with the first.

    It does not average: blur first, ``downsample(conv(k, x), 2)``. ``SᵀS`` keeps one pixel out of
    ``factor²``, so the update of x is solved by conjugate gradients.

    Args:
        of: ``x``, ``(B, C, H, W)``, H and W multiples of the factor.
        factor: at least 2.
    """

    outer_structure = Structure.MATRIX_FREE
    symbol, word = "S", "downsample"

    def __init__(self, of: Expression, factor: int) -> None:
        if isinstance(factor, bool) or not isinstance(factor, int) or factor < 2:
            raise InputError(f"downsample by {factor!r}: the factor is an integer of at least 2")
        super().__init__(of)
        self.factor = factor

    def shape(self, state: State) -> torch.Size:
        batch, channels, height, width = self.of.shape(state)
        if height % self.factor or width % self.factor:
            raise InputError(
                f"{self.formula()}: {height}×{width} is no multiple of {self.factor}: crop or pad "
                "the image"
            )
        return torch.Size((batch, channels, height // self.factor, width // self.factor))

    def outer(self, state: State) -> MatrixFree:
        domain, n = self.of.shape(state), self.factor

        def mv(x: Tensor) -> Tensor:
            return x[..., ::n, ::n]

        def adjoint(y: Tensor) -> Tensor:
            x = y.new_zeros(domain)
            x[..., ::n, ::n] = y
            return x

        share = state[self.of.names[0]].new_full((1, 1, 1, 1), n**-2)
        return MatrixFree(mv, adjoint, domain, share)

    def inverse(self, name: str, state: State, target: Tensor | None = None) -> Tensor | None:
        if target is None:
            return None
        enlarged = target.repeat_interleave(self.factor, -2).repeat_interleave(self.factor, -1)
        return self.of.inverse(name, state, enlarged)

    def formula(self) -> str:
        return f"S{self.factor}({self.of.formula().strip('()')})"

    def code(self) -> str:
        return f"downsample({self.of.code()}, {self.factor})"


def _wave(like: Tensor) -> Tensor:
    """Values between −1 and 1 without a period."""
    wave = torch.arange(like.numel(), device=like.device).float().sin()
    return wave.to(like.dtype).view(like.shape)
