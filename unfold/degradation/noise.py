"""Noise: of constant deviation, and of a sensor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import pad

from .base import Degradation, Parameters
from .raw import Camera, bayer, demosaic
from .rng import IN_ORDER, check_photos, check_range, columns, normal, seeds, uniform

Shot = Annotated[float, Field(ge=1e-8, le=1)]
Deviation = Annotated[float, Field(ge=0, le=10)]


class RawNoise(Degradation):
    """Shot and read noise in the sensor's raw values: ``raw + N(0, shot · raw + read)``.

    The photo is taken back to the sensor (`unfold.degradation.raw.Camera`: tone curve, gamma,
    colors, gains), sampled through an RGGB mosaic, made noisy, and developed again. So the noise
    is stronger in the shadows, blotchy and colored as in real photos. The mosaic costs
    detail even without noise, as it does in a camera: sharp photos of half a megapixel come back
    at 29 to 36 dB, smooth ones at about 50. Takes and gives values in [0, 1]: what is above
    saturates the sensor.

    Options:
        shot: range of the shot noise, the variance at full white; drawn evenly in its logarithm.

    Parameters, ``(B,)`` each: ``shot``; ``read``, with ``log10 read = 2.18 log10 shot + 1.20 +
    N(0, 0.26)``; ``gain`` 1/N(0.8, 0.1), ``red_gain`` U(1.9, 2.4), ``blue_gain`` U(1.5, 1.9);
    ``camera`` ``(B, 4)``, U(0, 1): weights of four cameras' colors; ``seed`` of the noise. Two
    zeros for ``shot`` and ``read`` give the mosaic's loss alone.

    Source: Brooks et al., "Unprocessing images for learned raw denoising", CVPR 2019, with the
    noise levels of its section 3.1.

    Example:
        >>> import torch
        >>> from unfold.degradation import RawNoise
        >>> photo, rng = torch.full((1, 3, 64, 64), 0.5), torch.Generator().manual_seed(0)
        >>> photo[..., :32] = 0.05  # in the shade
        >>> noisy = RawNoise(shot=(0.01, 0.01))(photo, generator=rng)
        >>> shade, light = noisy[..., :30], noisy[..., 34:]
        >>> bool(shade.std() / shade.mean() > light.std() / light.mean())
        True
    """

    color_space = "encoded"

    def __init__(self, *, shot: Annotated[tuple[Shot, Shot], IN_ORDER] = (1e-4, 0.012)) -> None:
        self.shot = check_range("raw-noise: shot", shot, least=1e-8, most=1)

    def sample(self, batch: int, generator: torch.Generator) -> Parameters:
        low, high = (math.log10(end) for end in self.shot)
        shot = uniform(batch, (low, high), generator)
        spread, gain = torch.randn(2, batch, generator=generator, dtype=torch.float64)
        return {
            "shot": 10**shot,
            "read": 10 ** (2.18 * shot + 1.20 + 0.26 * spread),
            "gain": 1 / (0.8 + 0.1 * gain),
            "red_gain": uniform(batch, (1.9, 2.4), generator),
            "blue_gain": uniform(batch, (1.5, 1.9), generator),
            "camera": torch.rand(batch, 4, generator=generator, dtype=torch.float64),
            "seed": seeds(batch, generator),
        }

    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        check_photos(image, parameters)
        one = torch.ones_like(parameters["gain"])
        balance = torch.stack((parameters["red_gain"], one, parameters["blue_gain"]), 1)
        gains = parameters["gain"][:, None] * balance
        camera = Camera.blend(parameters["camera"], gains).to(image)

        height, width = image.shape[-2:]
        # A mosaic needs two rows and columns to hold all colors.
        whole = pad(image, (0, width == 1, 0, height == 1), mode="replicate")
        raw = camera.unprocess(whole)
        seen = bayer(raw)
        noisy = add_noise((raw * seen).sum(1, keepdim=True), parameters)
        balanced = noisy * (camera.gains * seen).sum(1, keepdim=True)
        return camera.develop(demosaic(balanced.clamp(max=1)))[..., :height, :width]


def add_noise(raw: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    """``raw + N(0, shot · raw + read)``, ``(B, 1, H, W)``, independent from pixel to pixel."""
    shot, read = (parameters[name].to(raw).view(-1, 1, 1, 1) for name in ("shot", "read"))
    noise = normal(parameters["seed"], *raw.shape[1:]).to(raw)
    return raw + (shot * raw + read).sqrt() * noise


class GaussianNoise(Degradation):
    """White noise: ``y = x + N(0, σ²)`` on encoded values.

    It is independent in every pixel and channel. The result is not clipped to [0, 1]. For the noise
    of a camera, see `RawNoise`.

    Options:
        sigma: range of ``σ``; white is 1.

    Parameters: ``sigma``, ``seed``, ``(B,)``.

    Example:
        >>> import torch
        >>> from unfold.degradation import GaussianNoise
        >>> gray, rng = torch.full((1, 3, 64, 64), 0.5), torch.Generator().manual_seed(0)
        >>> noisy = GaussianNoise(sigma=(0.1, 0.1))(gray, generator=rng)
        >>> round(noisy.std().item(), 2)
        0.1
    """

    color_space = "encoded"

    def __init__(
        self, *, sigma: Annotated[tuple[Deviation, Deviation], IN_ORDER] = (0.0, 0.05)
    ) -> None:
        self.sigma = check_range("gaussian-noise: sigma", sigma, least=0, most=10)

    def sample(self, batch: int, generator: torch.Generator) -> Parameters:
        return {
            "sigma": uniform(batch, self.sigma, generator),
            "seed": seeds(batch, generator),
        }

    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        (sigma,) = columns(image, parameters, "sigma")
        return image + sigma * normal(parameters["seed"], *image.shape[1:]).to(image)
