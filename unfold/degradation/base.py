"""Degradations: what makes a good photo bad, drawn at random and applied to a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

Parameters = dict[str, Tensor]


class Degradation(ABC):
    """One cause of a bad photo: a distribution over its parameters, and what they do to a photo.

    The two are kept apart: ``sample`` draws small numbers (an exposure, a noise level, the seed
    of a path), ``apply`` is a function of the photo and these numbers and of nothing else. Whoever
    keeps the numbers can make the same bad photo again, on any device.

    Its keyword-only options are ranges ``(low, high)`` to draw from; equal ends fix a value.

    Attributes:
        color_space: of the input and output of ``apply``: ``"linear"`` light, where the physics is
            additive (blur, exposure, sensor noise), or ``"encoded"`` values as in files (curves,
            clipping to the file's range, JPEG). The pipeline converts between them.
        inputs: names of further pictures that ``apply`` takes by keyword, such as ``"disparity"``;
            a photo that has none is given None.
        frames: whether ``apply`` takes clips ``(B, T, 3, H, W)`` of consecutive frames and makes
            one photo of each. What comes before it is applied to every frame of a clip, with the
            same parameters.
    """

    color_space: ClassVar[Literal["linear", "encoded"]] = "encoded"
    inputs: ClassVar[tuple[str, ...]] = ()
    frames: ClassVar[bool] = False

    @abstractmethod
    def sample(self, batch: int, generator: torch.Generator) -> Parameters:
        """Draw parameters for ``batch`` photos, each independently.

        Args:
            batch: how many.
            generator: on the CPU, the only source of chance.

        Returns:
            name -> ``(batch, ...)`` float64 or int64 on the CPU, small enough for a manifest.
        """

    @abstractmethod
    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        """The photos as these parameters make them.

        Args:
            image: ``(B, 3, H, W)`` floating point in the light that the class names; black is 0
                and what a file can hold is at most 1, but values above 1 may come in and go out
                (a light source that saturates). Any H and W >= 1. It is not changed. With
                `frames`, ``(B, T, 3, H, W)``.
            parameters: what ``sample`` gave for B photos, on the CPU or where the photos are.
            inputs: each of `inputs`, ``(B, C, H, W)`` or None.

        Returns:
            ``(B, 3, H, W)``, the dtype and device of ``image``.
        """

    def kernel(self, parameters: Mapping[str, Tensor]) -> Tensor | None:
        """``(B, 1, h, w)``, sum 1, centered at ``(h // 2, w // 2)``, where what it does to each
        photo is a convolution with one kernel; None where it is something else."""
        return None

    def __call__(
        self, image: Tensor, *, generator: torch.Generator, **inputs: Tensor | None
    ) -> Tensor:
        """``apply`` with freshly drawn parameters."""
        return self.apply(image, self.sample(len(image), generator), **inputs)
