"""Degradations with random parameters, applied to batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

Parameters = dict[str, Tensor]


class Degradation(ABC):
    """A degradation: a distribution of parameters, and their effect on a photo.

    The two are separate: ``sample`` draws a few numbers (an exposure, a noise level, the seed of a
    path), and ``apply`` depends only on the photo and these numbers. The same numbers therefore
    reproduce the degraded photo on any device.

    Its keyword-only options are ranges ``(low, high)`` of the parameters; equal ends fix a value.

    Attributes:
        color_space: color space of ``apply``: ``"linear"`` light, in which the physics is additive
            (blur, exposure, sensor noise), or ``"encoded"`` values as in files (curves,
            clipping to the file's range, JPEG). The pipeline converts between them.
        inputs: names of further pictures, keyword arguments of ``apply``, such as ``"disparity"``;
            None if a photo has none.
        frames: whether ``apply`` converts clips ``(B, T, 3, H, W)`` of consecutive frames to one
            photo each. Previous degradations are applied to every frame of a clip, with the same
            parameters.

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
            batch: number of photos.
            generator: generator on the CPU, the only source of randomness.

        Returns:
            name -> ``(batch, ...)`` float64 or int64 on the CPU, small enough for a manifest.
        """

    @abstractmethod
    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        """Apply the degradation with these parameters.

        Args:
            image: ``(B, 3, H, W)`` floating point in the `color_space` of the class, at least 0.
                Files have values up to 1, but larger ones are allowed (a light source that
                saturates). Any H and W >= 1. It is not changed. With `frames`, ``(B, T, 3, H, W)``.
            parameters: the result of ``sample`` for B photos, on the CPU or the device of the
                photos.
            inputs: each of `inputs`, ``(B, C, H, W)`` or None.

        Returns:
            ``(B, 3, H, W)``, the dtype and device of ``image``.
        """

    def kernel(self, parameters: Mapping[str, Tensor]) -> Tensor | None:
        """The kernels ``(B, 1, h, w)``, sum 1, centered at ``(h // 2, w // 2)``, if the effect on
        each photo is a convolution with one kernel; otherwise None."""
        return None

    def __call__(
        self, image: Tensor, *, generator: torch.Generator, **inputs: Tensor | None
    ) -> Tensor:
        """``apply`` with new random parameters."""
        return self.apply(image, self.sample(len(image), generator), **inputs)
