"""The Retinex split: an image is reflectance times illumination."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unfold.core.operators import LinearMap, Pixel, Structure
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
            {
                block: Structure.SCALAR,
                reflectance: Structure.PIXEL,
                illumination: Structure.PIXEL,
            }
        )
        self.block, self.reflectance, self.illumination = block, reflectance, illumination

    def forward(self, state: Mapping[str, Tensor]) -> Tensor:
        return state[self.block] - state[self.reflectance] * state[self.illumination]

    def operator(self, block: str, state: State) -> LinearMap:
        shapes = (state[name].shape for name in self.blocks)
        codomain = torch.broadcast_shapes(*shapes)
        diagonal = 1.0 if block == self.block else -state[self._factor(block)]
        return Pixel(diagonal, state[block].shape, codomain)

    def offset(self, block: str, state: State) -> Tensor:
        if block == self.block:
            return -state[self.reflectance] * state[self.illumination]
        return state[self.block]

    def formula(self) -> str:
        return f"{self.block} − {self.reflectance}⊙{self.illumination}"

    def gram_formula(self, block: str) -> str:
        return "1" if block == self.block else f"{self._factor(block)}²"

    def _factor(self, block: str) -> str:
        return self.illumination if block == self.reflectance else self.reflectance
