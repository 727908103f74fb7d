"""The sparse error: an observation that is wrong in a few places."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from unfold.core.operators import LinearMap, Pixel, Structure, broadcast_shapes
from unfold.core.residual import Residual
from unfold.core.state import State


class SparseError(Residual):
    """``r = U + E − Y``: the blurred image ``U`` and an error ``E`` explain the observation.

    With ``Regularizer("E", SoftThreshold(), "ws")`` and ``Constraint(Equal("E", "P"), "w3", "D")``
    the error's update is ErA's ``E' = soft((Y − U − Δ + λ3 P) / (1 + λ3), λs / (1 + λ3))``.

    Args:
        block: ``U``, ``(B, C, H, W)``.
        error: ``E``, ``(B, C, H, W)``.
        observed: ``Y``, ``(B, C, H, W)``.
    """

    def __init__(self, block: str, *, error: str, observed: str) -> None:
        super().__init__([(name, Structure.SCALAR) for name in (block, error, observed)])
        self.block, self.error, self.observed = block, error, observed

    def forward(self, state: Mapping[str, Tensor]) -> Tensor:
        return state[self.block] + state[self.error] - state[self.observed]

    def operator(self, block: str, state: State) -> LinearMap:
        codomain = broadcast_shapes(*(state[name].shape for name in self.blocks))
        return Pixel(-1.0 if block == self.observed else 1.0, state[block].shape, codomain)

    def offset(self, block: str, state: State) -> Tensor:
        u, e, y = state[self.block], state[self.error], state[self.observed]
        if block == self.observed:
            return u + e
        return (e if block == self.block else u) - y

    def formula(self) -> str:
        return f"{self.block} + {self.error} − {self.observed}"

    def gram_formula(self, block: str) -> str:
        return "1"
