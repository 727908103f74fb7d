"""A term: a residual that is affine in its block."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from unfold.core import LinearMap, PixelDiagonal, Residual, State, Structure


class Masked(Residual):
    """``r = M ⊙ x − Y``: only some pixels are observed.

    Args:
        block: ``x``, ``(B, C, H, W)``.
        mask: ``M``, ``(B, 1 or C, H, W)``, 1 at observed pixels, otherwise 0.
        observed: ``Y``, ``(B, C, H, W)``, 0 at pixels that are not observed.
    """

    def __init__(self, block: str, *, mask: str, observed: str) -> None:
        # JᵀJ = M² is diagonal in the pixels, so x is solved by a division.
        super().__init__({block: Structure.PIXEL}, reads=(mask, observed))
        self.block, self.mask, self.observed = block, mask, observed

    def forward(self, state: Mapping[str, Tensor]) -> Tensor:
        return state[self.mask] * state[self.block] - state[self.observed]

    def operator(self, block: str, state: State) -> LinearMap:
        """J. Optional: with Structure.MATRIX_FREE, autograd derives it, at a higher cost."""
        return PixelDiagonal(state[self.mask], state[block].shape)

    def formula(self) -> str:
        return f"{self.mask}⊙{self.block} − {self.observed}"

    def gram_formula(self, block: str) -> str:
        return f"{self.mask}²"
