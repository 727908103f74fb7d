"""The penalties of a stage: constants, or learned positive numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from unfold.errors import InputError, InputTypeError

from .lagrangian import check_number


class LearnedPenalties(nn.Module):
    """One learned positive number for each name: ``softplus`` of a free parameter.

    Any other module ``state -> penalties`` can replace it, such as a network that predicts the
    penalties of each image, shape ``(B, 1, 1, 1)``.

    Args:
        initial: name -> initial value, positive.

    Example:
        >>> from unfold.core import LearnedPenalties
        >>> penalties = LearnedPenalties({"rho": 0.5})
        >>> round(penalties(state={})["rho"].item(), 4), penalties(state={})["rho"].requires_grad
        (0.5, True)
    """

    def __init__(self, initial: Mapping[str, float]) -> None:
        super().__init__()
        for name, value in initial.items():
            check_number(value, f"the initial penalty {name!r}", least=None)
            if hasattr(nn.ParameterDict(), name):
                raise InputError(
                    f"a learned penalty cannot be called {name!r}: torch uses this name"
                )
        # The inverse of softplus, in a form that is accurate for large and small values. (Its
        # shape is (1,), because a parameter without axes cannot be sharded over processes.)
        raw = {n: torch.tensor([v + math.log(-math.expm1(-v))]) for n, v in initial.items()}
        self.raw = nn.ParameterDict({n: nn.Parameter(t) for n, t in raw.items()})

    def forward(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: softplus(raw).squeeze(0) for name, raw in self.raw.items()}


class FixedPenalties(nn.Module):
    """Constant penalties, the same for every state; they are not learned.

    Example:
        >>> from unfold.core import FixedPenalties
        >>> FixedPenalties({"rho": 0.5})(state={})
        {'rho': 0.5}
    """

    def __init__(self, values: Mapping[str, float | Tensor]) -> None:
        super().__init__()
        self._numbers = {n: v for n, v in values.items() if not isinstance(v, Tensor)}
        self._tensors = [n for n in values if n not in self._numbers]
        for index, name in enumerate(self._tensors):
            value = values[name]
            if isinstance(value, nn.Parameter):
                raise InputTypeError(
                    f"the fixed penalty {name!r} is a Parameter: use LearnedPenalties"
                )
            self.register_buffer(f"tensor{index}", value)  # type: ignore[arg-type]

    def forward(self, state: Mapping[str, Tensor]) -> dict[str, Tensor | float]:
        tensors = {name: getattr(self, f"tensor{i}") for i, name in enumerate(self._tensors)}
        return {**self._numbers, **tensors}
