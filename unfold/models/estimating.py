"""Estimates before an optimization, and recombination of light and reflectance after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from unfold.estimators import (
    ExposureEstimator,
    IlluminationEnhancer,
    KernelEstimator,
    NoiseEstimator,
    ReflectanceDenoiser,
)
from unfold.estimators.blur_radius import interpolated
from unfold.estimators.exposure import amplification, expose
from unfold.estimators.noise import PhotoNoise, channel_noise, thinned
from unfold.estimators.reblur import middle
from unfold.imaging.boundary import Frame
from unfold.restorer import Restorer

from .assembly import prepare
from .checks import check_inputs
from .parts import make_noise, make_part, measure_noise, with_kernel


class Estimates(NamedTuple):
    """The quantities estimated before the optimization.

    Attributes:
        x: the photo at full exposure, made periodic, ``(B, 3, H, W)``.
        frame: position of the photo in ``x``.
        measurements: global quantities of the whole photo.
        kernel: the given or estimated kernel.
        noise: standard deviation of the noise in ``x``, in its noisiest channel: ``(B, 1, H, W)``
            if the exposure was changed, otherwise ``(B, 1, 1, 1)``.
        logits: logits of the kernel estimator's maps; None if it has no maps.
    """

    x: Tensor
    frame: Frame
    measurements: Mapping[str, Tensor]
    kernel: Tensor
    noise: Tensor
    logits: Tensor | None


class Estimating(Restorer):
    """A restorer that estimates the noise, the exposure and the kernel of a photo.

    A subclass sets ``estimator`` and calls `add_parts` for the others. The state dict contains each
    part under its attribute's name.

    Attributes:
        estimator: estimates the blur kernels.
        noise: standard deviation of the photo's noise, or its estimator.
        exposure: estimates the gain that brings a dark photo to full exposure, or None.
        enhancer: enhances the illumination, or None.
        denoiser: denoises the reflectance, or None.
        uses_maps: whether the estimator's maps are used; it then runs even if the kernel is given.
    """

    uses_maps: bool = False
    estimator: KernelEstimator
    noise: float | NoiseEstimator
    exposure: ExposureEstimator | None
    enhancer: IlluminationEnhancer | None
    denoiser: ReflectanceDenoiser | None

    @property
    def measured_maps(self) -> Mapping[str, int]:  # type: ignore[override]
        """Those of the kernel estimator, if its maps are used."""
        return self.estimator.measured_maps if self.uses_maps else {}

    def add_parts(
        self,
        *,
        noise: Any,
        exposure: Any = None,
        enhancer: Any = None,
        denoiser: Any = None,
        light: int = 3,
    ) -> None:
        """Build the parts from options; ``light`` is the number of channels of the light."""
        self.enhancer = enhancer and make_part(IlluminationEnhancer, enhancer, light)
        self.denoiser = denoiser and make_part(ReflectanceDenoiser, denoiser, 3)
        self.exposure = exposure and make_part(ExposureEstimator, exposure)
        self.noise = make_noise(noise)
        self.pooled_features = ("scene",) if self.enhancer and self.enhancer.pooled else ()

    def estimate(
        self, image: Tensor, kernel: Tensor | None, measurements: Mapping[str, Tensor] | None
    ) -> Estimates:
        """Estimate the quantities that are not given. The arguments are those of ``forward``."""
        check_inputs(self, image, kernel)
        x, frame = self._prepare(image, kernel)
        measurements = self._global(image) if measurements is None else measurements
        dark, x = x, self._exposed(x, measurements)
        if kernel is None and not self.measured_maps.keys() <= measurements.keys():
            found = self.estimator.measure(frame.crop(x), measurements["noise"])
            measurements = {**found, **measurements}
        known, logits = measurements.get("kernel") if kernel is None else kernel, None
        if known is None:
            known, logits = self.estimator(x)
        elif self.uses_maps:
            maps = {
                name: self._prepare(interpolated(measurements[name], cell, image))[0]
                for name, cell in self.measured_maps.items()
                if name in measurements
            }
            logits = self.estimator.logits(x, known, maps)
            # (One given kernel is used with all maps.)
            known = known.expand(-1, logits.shape[1], -1, -1) if logits is not None else known
        known = known.to(x)
        if "residue" not in measurements:
            measurements = with_kernel(self.noise, measurements, frame.crop(x), known)
        return Estimates(x, frame, measurements, known, _noise_at(dark, measurements), logits)

    def measured_parts(self, known: Estimates, features: Tensor | None = None) -> dict[str, Tensor]:
        """Those of ``noise``, ``residue``, ``grain``, ``gain``, ``curve`` and ``scene`` that exist.

        Args:
            known: the estimates.
            features: features of the enhancer, see `recompose`.
        """
        names = ("noise", "residue", "grain", "gain", "curve")
        parts = {name: known.measurements[name] for name in names if name in known.measurements}
        if self.pooled_features and features is not None:
            factor = known.x.shape[-2] // features.shape[-2]
            parts["scene"] = known.frame.coarser(factor).crop(features)
        return parts

    def measure(self, image: Tensor, *, kernel: Tensor | None = None) -> Mapping[str, Tensor]:
        found = self._global(image)
        if kernel is None:
            # (Each full-size copy is freed as soon as the next one is computed.)
            part = image if self.measured_maps else self._prepare(image)[0]
            measured = self.estimator.measure(self._exposed(part, found), found["noise"])
            del part
            found |= measured
            kernel = measured["kernel"]
        return with_kernel(self.noise, found, self._exposed(middle(image), found), kernel)

    def recompose(
        self, light: Tensor, reflectance: Tensor, noise: Tensor, scene: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Enhance the illumination and denoise the reflectance.

        Args:
            light: L, ``(B, 1 or 3, H, W)``, positive.
            reflectance: R, ``(B, 3, H, W)``.
            noise: standard deviation of the noise in ``L ⊙ R``, ``(B, 1, 1, 1)``.
            scene: the enhancer's measurements of the whole photo, if it needs any.

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
        """Measurements of the whole photo, except its kernel."""
        found = measure_noise(self.noise, image)
        rows = thinned(image)
        if self.exposure is not None:
            gain, curve = found["gain"], found["curve"] = self.exposure(image)
            # The exposure multiplies noise by its slope, here at the photo's mean.
            mean = gain * rows.mean((1, 2, 3), keepdim=True).clamp(0, 1)
            slope = gain * curve / (1 + (curve - 1) * mean).square()
            found["noise_ratio"] = self._noise_ratio(image, found["grain"]) / slope
            found |= {name: found[name] * slope for name in ("noise", "grain")}
            rows = expose(rows, gain, curve)
        scene = self.enhancer and self.enhancer.measure(rows)
        return found if scene is None else {**found, "scene": scene}

    def _noise_ratio(self, image: Tensor, grain: Tensor) -> Tensor:
        """The noise of each channel over that of the photo; 1 if the latter is given."""
        estimated = isinstance(self.noise, PhotoNoise)
        return channel_noise(image, grain) / grain if estimated else torch.ones_like(grain)

    def _prepare(self, image: Tensor, kernel: Tensor | None = None) -> tuple[Tensor, Frame]:
        return prepare(image, kernel, size=self.estimator.kernel_size)

    @staticmethod
    def _exposed(x: Tensor, measurements: Mapping[str, Tensor]) -> Tensor:
        return (
            expose(x, measurements["gain"], measurements["curve"]) if "gain" in measurements else x
        )


def _noise_at(photo: Tensor, measurements: Mapping[str, Tensor]) -> Tensor:
    """The standard deviation of the noise at each pixel of the photo at full exposure.

    The exposure multiplies noise by its slope: in dark regions up to hundreds of times as much as
    at white.
    """
    noise = measurements["noise"]
    if "gain" not in measurements:
        return noise
    slope = amplification(photo, measurements["gain"], measurements["curve"])
    return noise * (slope * measurements["noise_ratio"]).amax(1, keepdim=True)
