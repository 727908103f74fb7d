"""What is estimated before an optimization, and made of its light and reflectance after it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unfold.estimators import (
    ExposureEstimator,
    IlluminationEnhancer,
    KernelEstimator,
    NoiseEstimator,
    ReflectanceDenoiser,
)
from unfold.estimators.exposure import expose
from unfold.estimators.noise import thinned

from .assembly import Extending


class Estimating(Extending):
    """A restorer that estimates the noise, the exposure and the kernel of a photo.

    A subclass sets the attributes in its constructor, in its own order: each is a part of its
    state dict under that name.

    Attributes:
        estimator: of the blur kernels.
        noise: standard deviation of the photo's noise, or its estimator.
        exposure: of the factor that brings a dark photo to full exposure, or None.
        enhancer: of the illumination, or None.
        denoiser: of the reflectance, or None.
    """

    estimator: KernelEstimator
    noise: float | NoiseEstimator
    exposure: ExposureEstimator | None
    enhancer: IlluminationEnhancer | None
    denoiser: ReflectanceDenoiser | None

    @property
    def kernel_size(self) -> int:
        return self.estimator.kernel_size

    def survey(self, image: Tensor, *, kernel: Tensor | None = None) -> Mapping[str, Tensor]:
        found = self._global(image)
        if kernel is None:
            x, _ = self.extended(image)
            found["kernel"] = self.estimator.measure(self._exposed(x, found))
        return found

    def recompose(
        self, light: Tensor, reflectance: Tensor, noise: Tensor, scene: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Enhance the illumination and denoise the reflectance.

        Args:
            light: L, ``(B, 1 or 3, H, W)``, positive.
            reflectance: R, ``(B, 3, H, W)``.
            noise: standard deviation of the noise in ``L ⊙ R``, ``(B, 1, 1, 1)``.
            scene: measurements of the whole photo for the enhancer, where it takes any.

        Returns:
            The enhanced illumination, the denoised reflectance, and the enhancer's features
            (None if it has none).
        """
        enhanced, denoised, features = light, reflectance, None
        if self.enhancer is not None:
            enhanced, features = self.enhancer(light, scene)
        if self.denoiser is not None:
            level = light.mean(1, keepdim=True)
            denoised = self.denoiser(reflectance, (noise / level).expand_as(level))
        return enhanced, denoised, features

    def _global(self, image: Tensor) -> dict[str, Tensor]:
        """What is measured of the whole photo, but for its kernel."""
        found: dict[str, Tensor] = {}
        if isinstance(self.noise, (int, float)):
            found["noise"] = torch.full_like(image[:, :1, :1, :1], self.noise)
        else:
            found["noise"] = self.noise(image)
        rows = thinned(image)
        if self.exposure is not None:
            gain, curve = found["gain"], found["curve"] = self.exposure(image)
            # Noise grows by the slope of the exposure, here at the photo's mean.
            mean = gain * rows.mean((1, 2, 3), keepdim=True).clamp(0, 1)
            slope = gain * curve / (1 + (curve - 1) * mean).square()
            found["noise"] = found["noise"] * slope
            rows = expose(rows, gain, curve)
        scene = self.enhancer and self.enhancer.measure(rows)
        return found if scene is None else {**found, "scene": scene}

    @staticmethod
    def _exposed(x: Tensor, guide: Mapping[str, Tensor]) -> Tensor:
        return expose(x, guide["gain"], guide["curve"]) if "gain" in guide else x
