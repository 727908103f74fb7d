"""Downsampling: selection of every n-th pixel."""

from __future__ import annotations

import torch
from torch import Tensor

from unfold.core.expression import Expression, Mapped
from unfold.core.operators import MatrixFree, Structure
from unfold.core.state import State
from unfold.errors import InputError


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
