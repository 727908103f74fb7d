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

    The same ``g`` as in unfold's `TotalVariation`. DeepInverse's ``ths`` is ``step``: its code does
    not divide by √8, which its docstring mentions. There are two differences from `TVDenoiser`: no
    state is kept between calls (it has a warm start), and the number of iterations is fixed (its
    stopping rule uses the whole batch, so that the result for an image depends on the others).

    Args:
        iterations: number of Chambolle-Pock iterations. A gradient keeps all of them in memory.
        tau: primal step size, which affects the speed of convergence, not the limit. 0.03 is good
            for images in [0, 1] and steps from 1e-4 to 1; DeepInverse's default is 0.01.

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
        # A new object each time, because it stores its last result and starts from it.
        denoiser = self._denoiser(n_it_max=self.iterations, crit=0.0, tau=self.tau)
        return denoiser(v, ths=ths)

    def step_for(self, variance: Tensor) -> Tensor:
        # For photos, the best weight is about half the standard deviation.
        return 0.6 * variance.sqrt()

    def value(self, x: Tensor) -> Tensor:
        return torch.linalg.vector_norm(self._denoiser.nabla(x), dim=-1).sum((1, 2, 3))
