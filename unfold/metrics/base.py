"""Metrics: one number for each restored photo."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from unfold.errors import InputError, UnfoldError


class MetricError(UnfoldError, ValueError):
    """Raised if a metric cannot be built; the message says what is missing and where to get it.

    Example:
        >>> from unfold.metrics import LPIPS
        >>> LPIPS(net="vgg", weights="vgg16.pth")
        Traceback (most recent call last):
            ...
        unfold.metrics.base.MetricError: LPIPS (vgg): there is no file vgg16.pth; get it ...
    """


class Metric(nn.Module):
    """A measure of quality of a photo, alone or against a reference.

    Attributes:
        better: whether ``"higher"`` or ``"lower"`` values are better.
        needs_reference: whether a reference is required.
        unit: unit of the values, or empty.

    Example:
        >>> import torch
        >>> from unfold.metrics import Metric
        >>> class MaxError(Metric):
        ...     better = "lower"
        ...     def measure(self, image, reference):
        ...         return (image - reference).abs().double().amax((1, 2, 3))
        >>> MaxError()(torch.zeros(1, 3, 2, 2), torch.full((1, 3, 2, 2), 0.25))
        tensor([0.2500], dtype=torch.float64)
    """

    better: ClassVar[Literal["higher", "lower"]]
    needs_reference: ClassVar[bool] = True
    unit: ClassVar[str] = ""

    @abstractmethod
    def measure(self, image: Tensor, reference: Tensor | None) -> Tensor:
        """The values for a batch, ``(B,)`` float64. Users call ``metric(image, ...)``.

        Args:
            image: ``(B, 1 or 3, H, W)`` floating point in [0, 1], sRGB-encoded.
            reference: a photo of the same shape and range, if the metric needs one.
        """

    @torch.no_grad()
    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        """Check the inputs, then ``measure``.

        Raises:
            InputError: if the shapes differ, the input is not a batch of photos, or a required
                reference is missing.
        """
        name = type(self).__name__
        if image.ndim != 4 or image.shape[1] not in (1, 3) or 0 in image.shape:
            raise InputError(f"{name}: image must be (B, 1 or 3, H, W), got {tuple(image.shape)}")
        if not self.needs_reference:
            return self.measure(image, None)
        if reference is None:
            raise InputError(f"{name} compares with a reference: give one")
        if image.shape != reference.shape:
            raise InputError(
                f"{name}: image is {tuple(image.shape)} and reference {tuple(reference.shape)}; "
                "crop or resize one of them"
            )
        return self.measure(image, reference)
