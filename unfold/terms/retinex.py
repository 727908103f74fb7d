"""The Retinex split: an image is reflectance times illumination."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from unfold.core.ambiguity import Ambiguity, scale
from unfold.core.operators import LinearMap, Pixel, Structure, broadcast_shapes
from unfold.core.residual import Residual
from unfold.core.state import State


class Retinex(Residual):
    """``r = Z − P ⊙ Q``: affine in the image, the reflectance and the illumination, each alone.

    Normal matrices: 1 in ``Z``, ``Q²`` in ``P``, ``P²`` in ``Q`` (JUDE eq. 7 and 12 with the
    misprints mended). A one-channel illumination under a three-channel reflectance stays so:
    ``P²`` is then summed over the channels.

    Args:
        block: ``Z``, ``(B, C, H, W)``.
        reflectance: ``P``, ``(B, C, H, W)``.
        illumination: ``Q``, ``(B, 1 or C, H, W)``.
    """

    def __init__(self, block: str, *, reflectance: str, illumination: str) -> None:
        super().__init__(
            [
                (block, Structure.SCALAR),
                (reflectance, Structure.PIXEL),
                (illumination, Structure.PIXEL),
            ]
        )
        self.block, self.reflectance, self.illumination = block, reflectance, illumination

    def forward(self, state: Mapping[str, Tensor]) -> Tensor:
        return state[self.block] - state[self.reflectance] * state[self.illumination]

    def operator(self, block: str, state: State) -> LinearMap:
        codomain = self._codomain(state)
        if block == self.block:
            return Pixel(1.0, state[block].shape, codomain)
        return Pixel(state[self._factor(block)], state[block].shape, codomain, sign=-1.0)

    def offset(self, block: str, state: State) -> Tensor:
        if block == self.block:
            return -(state[self.reflectance] * state[self.illumination])
        return state[self.block]

    def data(self, block: str, state: State, operator: LinearMap) -> Tensor:
        # −Jᵀc without its two signs, which cost passes over the image and cancel: Q⊙Z for P.
        one, other = (name for name in self.blocks if name != block)
        product = state[one] * state[other]
        return product.expand(self._codomain(state)).sum_to_size(operator.domain)

    def ambiguities(self, order: Collection[str]) -> Sequence[Ambiguity]:
        factors = (self.reflectance, self.illumination)
        return (scale(*factors),) if set(factors) <= set(order) else ()

    def formula(self) -> str:
        return f"{self.block} − {self.reflectance}⊙{self.illumination}"

    def gram_formula(self, block: str) -> str:
        return "1" if block == self.block else f"{self._factor(block)}²"

    def _codomain(self, state: State) -> torch.Size:
        return broadcast_shapes(*(state[name].shape for name in self.blocks))

    def _factor(self, block: str) -> str:
        return self.illumination if block == self.reflectance else self.reflectance
