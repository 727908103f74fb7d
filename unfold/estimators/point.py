"""The kernel of a sharp photo."""

from __future__ import annotations

from torch import Tensor

from .roles import KernelEstimator


class PointKernel(KernelEstimator):
    """No blur: the kernel is a point, unless the model is given another."""

    kernel_size = 1

    def forward(self, image: Tensor) -> tuple[Tensor, None]:
        return image.new_ones(1, 1, 1, 1), None
