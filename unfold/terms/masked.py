"""Blur where some pixels are not to be trusted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor

from unfold.core.ambiguity import Ambiguity
from unfold.core.operators import Fourier, LinearMap, MatrixFree, Pixel, Structure
from unfold.core.residual import Residual
from unfold.core.state import State

from .blur import Convolution


class MaskedConvolution(Residual):
    """``r = T ⊙ (H ⊗ I − X)``: a convolution whose misfit is weighed pixel by pixel.

    Saturated lights, for one, are no convolution of anything: T = 0 leaves them out. The normal
    matrix in I, ``Hᵀ T² H``, is diagonal in no basis, so that I is solved by conjugate gradients,
    preconditioned by ``mean(T²) |F H|²``; X is a plain observation. The kernel is a block, too,
    where it is in the order, and solved likewise with ``|F I|²``, or without where it is smaller
    than the image.

    Args:
        block: ``I``, ``(B, C, H, W)``.
        kernel: ``H``, ``(1 or B, 1 or C, h, w)``; see `Convolution`.
        mask: ``T``, ``(1 or B, 1, H, W)``, at least 0.
        observed: ``X``, ``(B, C, H, W)``.
    """

    def __init__(self, block: str, *, kernel: str, mask: str, observed: str) -> None:
        super().__init__(
            [(block, Structure.MIXED), (observed, Structure.PIXEL)],
            [kernel, mask],
            {kernel: Structure.MIXED},
        )
        self.block, self.mask, self.observed = block, mask, observed
        self.blur = Convolution(block, kernel=kernel, observed=observed)

    def forward(self, state: Mapping[str, Tensor]) -> Tensor:
        return state[self.mask] * self.blur(state)

    def operator(self, block: str, state: State) -> LinearMap:
        mask = state[self.mask]
        if block == self.observed:
            return Pixel(mask, state[block].shape, sign=-1.0)
        blur, stationary = self.blur.operator(block, state), None
        if isinstance(blur, Fourier):
            stationary = mask.square().mean((-2, -1), keepdim=True) * blur.gram_power()
        return MatrixFree(
            lambda x: mask * blur.mv(x),
            lambda y: blur.adjoint(mask * y),
            state[block].shape,
            stationary,
        )

    def offset(self, block: str, state: State) -> Tensor:
        return state[self.mask] * self.blur.offset(block, state)

    def ambiguities(self, order: Collection[str]) -> Sequence[Ambiguity]:
        return self.blur.ambiguities(order)

    def formula(self) -> str:
        return f"{self.mask}⊙({self.blur.formula()})"

    def gram_formula(self, block: str) -> str:
        if block == self.observed:
            return f"{self.mask}²"
        factor = self.blur.kernel if block == self.block else self.block
        return f"{factor}ᵀ{self.mask}²{factor}"
