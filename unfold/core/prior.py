"""Priors: what is believed of a block, known by its proximal operator."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn


class Prior(nn.Module):
    """A function ``g`` of one block, given by its proximal operator.

    A learned prior is one whose ``prox`` is a network: nobody knows its ``g``, so it has no
    ``value``, and it promises shape, dtype and device only.

    Attributes:
        accepts_map: whether ``step`` may vary from pixel to pixel. True for priors that act
            pixel by pixel, for those that solve the weighted problem, and for learned ones, which
            take the map as their conditioning. Where it is False, a block whose normal matrix is
            pixel-diagonal is refused this prior.
        differentiable: whether gradients pass through ``prox``. Where they do not, it raises a
            RuntimeError if one is asked for, rather than cut the graph silently.
    """

    accepts_map: bool = True
    differentiable: bool = True

    @abstractmethod
    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        """``argmin_x g(x) + Σ (x − v)² / (2·step)``.

        Args:
            v: ``(B, C, H, W)``.
            step: positive, broadcastable to ``v``: ``(1 or B, 1, 1, 1)``, or a map
                ``(B, 1 or C, H, W)``. For an image with Gaussian noise around ``v`` it is the
                noise variance, in the square of the image's unit.
        """

    def value(self, x: Tensor) -> Tensor | None:
        """``g(x)`` for each image, ``(B,)``; None where ``g`` is not known (a learned prior)."""
        return None

    def forward(self, v: Tensor, step: Tensor) -> Tensor:
        return self.prox(v, step)
