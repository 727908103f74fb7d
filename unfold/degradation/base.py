"""Degradations: causes of degraded photos, drawn at random and applied to a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

Parameters = dict[str, Tensor]


class Degradation(ABC):
    """One cause of a degraded photo: a distribution of parameters, and their effect on a photo.

    The two are separate: ``sample`` draws a few numbers (an exposure, a noise level, the seed of a
    path), and ``apply`` is a function of the photo and these numbers alone. So the same numbers
    give the same degraded photo again, on any device.

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

    Example:
        >>> import torch
        >>> from unfold.degradation import Degradation
        >>> class Fade(Degradation):
        ...     color_space = "encoded"
        ...     def sample(self, batch, generator):
        ...         return {"contrast": 0.5 + 0.5 * torch.rand(batch, generator=generator)}
        ...     def apply(self, image, parameters, **inputs):
        ...         contrast = parameters["contrast"].to(image).view(-1, 1, 1, 1)
        ...         return 0.5 + contrast * (image - 0.5)
        >>> photo = torch.rand(2, 3, 8, 8)
        >>> faded = Fade()(photo, generator=torch.Generator().manual_seed(0))
        >>> bool(faded.std() < photo.std())
        True
    """

    color_space: ClassVar[Literal["linear", "encoded"]] = "encoded"
    inputs: ClassVar[tuple[str, ...]] = ()
    frames: ClassVar[bool] = False

    @abstractmethod
    def sample(self, batch: int, generator: torch.Generator) -> Parameters:
        """Draw parameters for ``batch`` photos, each independently.

        Args:
            batch: how many.
            generator: on the CPU, the only source of randomness.

        Returns:
            name -> ``(batch, ...)`` float64 or int64 on the CPU, small enough for a manifest.
        """

    @abstractmethod
    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        """Apply the degradation with these parameters.

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
