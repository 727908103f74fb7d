"""What a restoration model takes and gives."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from .ledger import Ledger


@dataclass(frozen=True)
class Restoration:
    """A restored batch and what it was made of.

    Attributes:
        image: ``(B, 3, H, W)`` in [0, 1], the size of the input.
        parts: named intermediates of the model (its docstring lists them).
    """

    image: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)


class Restorer(nn.Module):
    """A model from bad photos to good ones.

    Attributes:
        learned: whether it is worthless before it is trained.
    """

    learned: bool = True

    @abstractmethod
    def forward(
        self, image: Tensor, *, kernel: Tensor | None = None, ledger: Ledger | None = None
    ) -> Restoration:
        """Restore a batch.

        Args:
            image: ``(B, 3, H, W)`` floating point, sRGB-encoded, in [0, 1]; any H and W >= 1.
            kernel: the blur's kernel, ``(1 or B, 1, h, w)``, sum 1, where it is known.
            ledger: filled stage by stage, where given.
        """

    @abstractmethod
    def explain(self) -> str:
        """What the model does, in words and formulas."""
