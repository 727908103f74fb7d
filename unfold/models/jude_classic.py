"""JUDE without learning: the same Lagrangian, closed-form priors, no weights to load."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from unfold.core import (
    Ledger,
    Regularizer,
    Restoration,
    Stage,
    State,
    Unrolled,
    lower,
)
from unfold.estimators.illumination import retinex_split
from unfold.priors import TotalVariation

from .assembly import Extending, describe
from .jude import ORDER, jude_lagrangian

# Total variation per unit of noise. The first was tuned on deblurring (see tests), the second on
# denoising; the ratios of the penalties to them decide how fast it converges, not where to.
_DEBLUR, _DENOISE, _SMOOTH_LIGHT = 0.12, 0.5, 2.0
_LEAST_NOISE = 1e-3
# The brightest half percent of a photo: what it is brought to if it lies below the first of the two
# bounds; above the second the photo is taken to be well exposed.
_WHITE, _UNDEREXPOSED, _WELL_EXPOSED = 0.95, 0.4, 0.7
_LARGEST_GAIN = 12.0
_ENOUGH_PIXELS = 2_000_000


class JUDEClassic(Extending):
    """JUDE with total variation in place of networks: deblurs with a given kernel, brightens.

    The photo is scaled to full exposure, JUDE's Lagrangian is minimised with total variation on
    P, Q and Z, the illumination is brightened by a power curve, and the reflectance is denoised
    where the light was low. No kernel given means no blur assumed. A sharp, well-lit, clean
    photo comes back nearly unchanged.

    Args:
        K: rounds.
        brightness: mean of the illumination to aim for, in (0, 1); None leaves the exposure and
            the illumination alone.

    Parts: ``kernel`` (1 or B,1,h,w); ``I``, ``Z`` (sharp, at full exposure), ``R`` and ``L``
    (their reflectance and one-channel illumination), ``enhanced`` and ``denoised``, whose product
    is the image; ``noise`` (B,1,1,1), the estimated standard deviation at full exposure.

    Source: JUDE's equations (see `jude_lagrangian`); the power curve is gamma correction.
    """

    requires_training = False

    def __init__(
        self,
        *,
        K: Annotated[int, Field(ge=1)] = 30,
        brightness: Annotated[float, Field(gt=0, lt=1)] | None = 0.35,
    ) -> None:
        super().__init__()
        self.brightness = brightness
        self._denoise = TotalVariation(iterations=30)
        few = TotalVariation(iterations=5)
        lagrangian = jude_lagrangian(
            Regularizer("P", few, "p"), Regularizer("Q", few, "q"), Regularizer("Z", few, "z")
        )
        self.stages = Unrolled(Stage(lower(lagrangian, ORDER), _Weights()), repeat=K)

    def forward(
        self,
        image: Tensor,
        *,
        kernel: Tensor | None = None,
        ledger: Ledger | None = None,
        guide: Mapping[str, Tensor] | None = None,
    ) -> Restoration:
        x, frame = self.prepare(image, kernel)
        used = image.new_ones(1, 1, 1, 1) if kernel is None else kernel.to(x)
        guide = guide or self.survey(image)
        noise = guide["noise"]
        x = x * guide["exposure"]
        reflectance, light = retinex_split(x)
        blocks = dict.fromkeys("XIZ", x) | dict.fromkeys("PR", reflectance)
        state = State({**blocks, "Q": light, "L": light, "H": used, "noise": noise})
        state = self.stages(state, ledger)
        parts = {name: frame.crop(state[name]) for name in ("I", "Z", "L")}
        parts |= self._recompose(parts["Z"], parts["L"], noise, guide["power"])
        restored = (parts["enhanced"] * parts["denoised"]).clamp(0, 1)
        return Restoration(restored, {"kernel": used, "noise": noise, **parts}, ledger)

    def survey(self, image: Tensor, *, kernel: Tensor | None = None) -> Mapping[str, Tensor]:
        one = image.new_ones(1, 1, 1, 1)
        exposure = _exposure(image) if self.brightness else one
        power = self._power(_thinned(image) * exposure) if self.brightness else one
        return {"noise": estimate_noise(image) * exposure, "exposure": exposure, "power": power}

    def _recompose(
        self, sharp: Tensor, light: Tensor, noise: Tensor, power: Tensor
    ) -> dict[str, Tensor]:
        light = light.clamp_min(1e-2)
        reflectance = sharp / light  # not P: what P ⊙ Q leaves out of Z would be lost
        # Noise of the image, divided by the light, is that of the reflectance; its variation is
        # weighed against a squared error of that scale.
        denoised = self._denoise(reflectance, _DENOISE * (noise - _LEAST_NOISE) / light)
        enhanced = light if self.brightness is None else light.clamp(0, 1).pow(power)
        return {"R": reflectance, "L": light, "enhanced": enhanced, "denoised": denoised}

    def _power(self, image: Tensor) -> Tensor:
        """Of the curve that brings the light's (geometric) mean to the brightness aimed for. The
        light is the first guess at it: its mean is hardly another once it is optimised."""
        assert self.brightness is not None
        _, light = retinex_split(image)
        mean = light.clamp(0, 1).log().mean((1, 2, 3), keepdim=True)
        return (math.log(self.brightness) / mean.clamp_max(-1e-3)).clamp(0.4, 1)

    def explain(self) -> str:
        return describe(self, (), ORDER, "image = L^γ ⊙ prox_TV(Z / L)")


class _Weights(torch.nn.Module):
    """Weights in proportion to the noise: ``z`` is the regularisation, the others its pace."""

    def forward(self, state: State) -> dict[str, Tensor | float]:
        z = _DEBLUR * state["noise"]
        w5, w2 = 80 * z, 8 * z
        return {"w1": 1.0, "w2": w2, "w3": w2 / 10, "w4": w2 / 10, "w5": w5, "z": z,
                "p": 0.1 * z, "q": _SMOOTH_LIGHT * z}  # fmt: skip


def estimate_noise(image: Tensor) -> Tensor:
    """The standard deviation of white noise in each image, ``(B, 1, 1, 1)``; at least 0.001.

    The median of ``|N ⊗ x|``, N the difference of two Laplacians, which is blind to slopes and
    (being a median) to edges. Source: Immerkær, "Fast noise variance estimation", CVIU 1996, with
    a median in place of its mean. Of a large photo only every n-th row is looked at.
    """
    if min(image.shape[-2:]) < 3:
        return image.new_full((len(image), 1, 1, 1), _LEAST_NOISE)
    # (By differences: a convolution of so few channels would copy a large photo several times.)
    n, end = _every(image), image.shape[-2]
    above, at, below = (image[..., i : end - 2 + i : n, :] for i in range(3))
    response = (above - 2 * at + below).diff(n=2, dim=-1)
    sigma = response.abs().flatten(1).median(1).values / (6 * 0.6745)
    return sigma.clamp_min(_LEAST_NOISE).view(-1, 1, 1, 1)


def _exposure(image: Tensor) -> Tensor:
    """The gain that brings an underexposed image to full exposure, ``(B, 1, 1, 1)``; else 1."""
    brightest = _thinned(image).amax(1).flatten(1)
    rank = max(1, int(0.995 * brightest.shape[1]))
    white = brightest.kthvalue(rank, dim=1).values.view(-1, 1, 1, 1)
    t = ((_WELL_EXPOSED - white) / (_WELL_EXPOSED - _UNDEREXPOSED)).clamp(0, 1)
    gain = (_WHITE / white.clamp_min(1e-6)).clamp(1, _LARGEST_GAIN)
    return gain ** (t * t * (3 - 2 * t))


def _thinned(image: Tensor) -> Tensor:
    """Every n-th row of a large photo: what is measured of it is known well enough from them."""
    return image[..., :: _every(image), :]


def _every(image: Tensor) -> int:
    return -(-image.shape[-2] * image.shape[-1] // _ENOUGH_PIXELS)
