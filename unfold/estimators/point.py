"""The kernel of a sharp photo."""

from __future__ import annotations

from torch import Tensor

from .roles import KernelEstimator


class PointKernel(KernelEstimator):
    """The kernel of a photo without blur: a point, ``(1, 1, 1, 1)``.

    Example:
        >>> import torch
        >>> from unfold.estimators import PointKernel
        >>> PointKernel()(torch.rand(1, 3, 8, 8))
        (tensor([[[[1.]]]]), None)
    """

    kernel_size = 1

    def forward(self, image: Tensor) -> tuple[Tensor, None]:
        return image.new_ones(1, 1, 1, 1), None
