"""DeepInverse's total variation."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from unfold.core import Prior
from unfold.core.inputs import check_values

from .steps import one_per_image


class DeepInvTV(Prior):
    """``g(x) = Σ sqrt((∂h x)² + (∂w x)²)``: `deepinv.models.TVDenoiser`, a Chambolle-Pock scheme.

    The same ``g`` as unfold's own `TotalVariation`. DeepInverse's ``ths`` is ``step``: the code
    does not divide by the √8 that its docstring mentions. Two things differ from a plain call:
    nothing is kept from one call to the next (it restarts warm), and the number of iterations is
    fixed (its stopping rule looks at the whole batch, so that an image's result would depend on
    its neighbors).

    Args:
        iterations: of Chambolle-Pock. A gradient keeps all of them in memory.
        tau: its primal step, which decides how fast it converges, not where to. 0.03 suits images
            in [0, 1] for steps from 1e-4 to 1; DeepInverse's default is 0.01.

    Source: Condat, "A primal-dual splitting method for convex optimization involving
    Lipschitzian, proximable and linear composite terms", JOTA 2013.
    """

    accepts_map = False

    def __init__(
        self,
        *,
        iterations: Annotated[int, Field(ge=1, le=100_000)] = 300,
        tau: Annotated[float, Field(gt=0, le=100)] = 0.03,
    ) -> None:
        from deepinv.models import TVDenoiser

        super().__init__()
        self.iterations, self.tau = iterations, tau
        self._denoiser = TVDenoiser

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        check_values("v, the input of DeepInvTV,", v)
        ths = one_per_image(self, v, step).to(v.dtype).flatten()
        # A new one each time: the object remembers its last answer and starts from it.
        denoiser = self._denoiser(n_it_max=self.iterations, crit=0.0, tau=self.tau)
        return denoiser(v, ths=ths)

    def step_for(self, variance: Tensor) -> Tensor:
        # The weight that denoises photos best is about half the standard deviation.
        return 0.6 * variance.sqrt()

    def value(self, x: Tensor) -> Tensor:
        return torch.linalg.vector_norm(self._denoiser.nabla(x), dim=-1).sum((1, 2, 3))
