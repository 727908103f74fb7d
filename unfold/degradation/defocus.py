"""Uniform defocus blur."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from unfold.errors import InputError

from .base import Degradation, Parameters
from .blur import blur
from .kernels import SHAPES, aperture_kernels
from .rng import IN_ORDER, Pixels, check_photos, check_range, uniform

Beta = Annotated[float, Field(ge=0.1, le=20)]
Ratio = Annotated[float, Field(ge=0.05, le=1)]


class Defocus(Degradation):
    """Uniform blur by a lens out of focus: ``y = H ⊗ x`` in linear light.

    ``H`` is a disc, a generalized Gaussian ``exp(−½ (xᵀ Σ⁻¹ x)^β)`` or a plateau
    ``1 / ((xᵀ Σ⁻¹ x)^β + 1)``, drawn for each photo (`unfold.degradation.kernels`). The photo is
    mirrored at its borders. For blur that varies over the photo, see `DepthDefocus`.

    Options:
        shapes: shapes, with equal probabilities.
        radius: radius of the disc, in pixels; the others have half of it as standard deviation.
        beta: ``β`` of the Gaussian and the plateau.
        ratio: ratio of the shorter axis to the longer; at most 1, which is round. The angle is
            uniform.

    Parameters: ``shape`` (0 disc, 1 gaussian, 2 plateau), ``radius``, ``beta``, ``ratio``,
    ``angle``, each ``(B,)``.

    Source: Zhou et al., "LEDNet: joint low-light enhancement and deblurring in the dark", ECCV
    2022, section 3, with β in [0.5, 4].

    Example:
        >>> import torch
        >>> from unfold.degradation import Defocus
        >>> defocus = Defocus(shapes=("disc",), radius=(2.0, 2.0), ratio=(1.0, 1.0))
        >>> kernel = defocus.kernel(defocus.sample(1, torch.Generator().manual_seed(0)))
        >>> (kernel[0, 0] > 0).int()
        tensor([[0, 0, 0, 0, 0, 0, 0],
                [0, 0, 1, 1, 1, 0, 0],
                [0, 1, 1, 1, 1, 1, 0],
                [0, 1, 1, 1, 1, 1, 0],
                [0, 1, 1, 1, 1, 1, 0],
                [0, 0, 1, 1, 1, 0, 0],
                [0, 0, 0, 0, 0, 0, 0]], dtype=torch.int32)
    """

    color_space = "linear"

    def __init__(
        self,
        *,
        shapes: Annotated[
            tuple[Literal["disc", "gaussian", "plateau"], ...], Field(min_length=1, max_length=16)
        ] = SHAPES,
        radius: Annotated[tuple[Pixels, Pixels], IN_ORDER] = (1.0, 6.0),
        beta: Annotated[tuple[Beta, Beta], IN_ORDER] = (0.5, 4.0),
        ratio: Annotated[tuple[Ratio, Ratio], IN_ORDER] = (0.6, 1.0),
    ) -> None:
        if not shapes or not set(shapes) <= set(SHAPES):
            raise InputError(f"defocus: shapes={shapes}: give some of {', '.join(SHAPES)}")
        self.shapes = shapes
        self.radius = check_range("defocus: radius", radius, least=0, most=500)
        self.beta = check_range("defocus: beta", beta, least=0.1, most=20)
        self.ratio = check_range("defocus: ratio", ratio, least=0.05, most=1)

    def sample(self, batch: int, generator: torch.Generator) -> Parameters:
        which = torch.tensor([SHAPES.index(shape) for shape in self.shapes])
        return {
            "shape": which[torch.randint(len(which), (batch,), generator=generator)],
            "radius": uniform(batch, self.radius, generator),
            "beta": uniform(batch, self.beta, generator),
            "ratio": uniform(batch, self.ratio, generator),
            "angle": uniform(batch, (0.0, math.pi), generator),
        }

    def kernel(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """``H`` of each photo, ``(B, 1, size, size)`` float64 on the device of the parameters, sum
        1."""
        names = ("shape", "radius", "ratio", "angle", "beta")
        return aperture_kernels(*(parameters[name] for name in names))

    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        check_photos(image, parameters)
        return blur(image, self.kernel(parameters).to(image))
