"""Darkening by a learned lightness curve: Zero-DCE given which exposure to reach, turned around."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.func import functional_call

from unfold.errors import InputError
from unfold.priors.blocks import DCENet

from .base import Degradation, Parameters
from .color_space import decode, lightness
from .rng import IN_ORDER, Share, check_range, columns, uniform

BRIGHT = 0.97  # of lightness; what is above it is a light, and stays one
ITERATIONS = 10


class DarkeningCurve(nn.Module):
    """How much of the lightness of each pixel to keep, for a wanted exposure.

    A network sees the lightness and the exposure and gives one rate ``r`` in [0, 1] for each
    pixel. Ten times ``x ← x + r (x² − x) = x·(1 − r (1 − x))``; for a fixed ``r`` this is monotone
    in ``x``, darkens, and keeps 0 and 1. Pixels above 0.97 are lights and keep all.

    Source: the curve is that of Guo et al., CVPR 2020, equation 3, with the sign turned around, as
    in Zhou et al., "LEDNet", ECCV 2022, section 3. That ``r`` is never negative (nothing in a dark
    photo is brighter than it was) is ours: ``r = (1 + tanh) / 2``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = DCENet(inputs=2, outputs=1)
        # Begin near r = 0.2, among the exposures that are wanted: at 0.5 the photo is black.
        nn.init.constant_(self.network.tail.get_parameter("bias"), -math.log(2))

    def forward(self, before: Tensor, exposure: Tensor) -> tuple[Tensor, Tensor]:
        """The part of the lightness that stays, and the rates.

        Args:
            before: lightness ``(B, 1, H, W)``, L*/100; 1 is white, lights may be above.
            exposure: ``(B,)``, the mean lightness to reach.

        Returns:
            ``(B, 1, H, W)`` in [0, 1], by which to multiply, and ``r``, of the same shape.
        """
        wanted = exposure.to(before)[:, None, None, None].expand_as(before)
        seen = self.network.without_frame(torch.cat((before.clamp(0, 1), wanted), 1))
        rate = (1 + seen.to(before.dtype)) / 2  # autocast halves the network's precision only
        return kept(before, rate), rate


def kept(before: Tensor, rate: Tensor) -> Tensor:
    """The ratio of the darkened to the old lightness: no division, so black has one too."""
    start = before.clamp(0, 1)
    ratio = torch.ones_like(start)
    for _ in range(ITERATIONS):
        ratio = ratio * (1 - rate * (1 - ratio * start))
    return torch.where(before > BRIGHT, 1, ratio)


def relative_lightness(image: Tensor) -> Tensor:
    """CIE L*/100 of sRGB-encoded values, ``(B, 3, H, W)`` -> ``(B, 1, H, W)``; white is 1."""
    return lightness(decode(image)) / 100


class ZeroDCEDarkening(Degradation):
    """Low light by a learned curve on lightness that is given which exposure to reach.

    Lightness ``x`` (CIE L*/100) of each pixel goes ten times through ``x + r (x² − x)``, where a
    network chose ``r`` by the surroundings and the exposure `e`; above 0.97 it is kept. RGB is
    scaled by the ratio of the new to the old lightness, so hue stays. L* is no power of encoded
    values, so it does not follow exactly: a gray of 0.5 that is to become 0.3, 0.1 or 0.05 becomes
    0.303, 0.081 or 0.033.

    Values above 1 are lights and pass unchanged. A photo needs about 1.1 kB of memory a pixel.

    No weights are shipped, because a plain exposure in linear light (`low-light`) was nearer to
    real dark photos than this network. It is a reduced one: 32 channels and one rate for each
    pixel, where the released EC-Zero-DCE has 256 channels and ten rates; and it was trained for 600
    steps only, by `examples/train_darkening.py`. The released network itself was not compared. On
    104 real pairs (15 of LOL, 89 of SICE; halved in size, strength chosen so that the mean
    lightness is that of the real dark photo) its PSNR was 23.4 dB, against 27.4 for the exposure
    (gamma 2.2) and 22.6 for a gamma curve; its Wasserstein distance of L*/100 was 0.038, against
    0.031 and 0.049. The losses ask for the same lightness everywhere, and so leave halos and flat
    contrast.

    Options:
        weights: a safetensors file of a `DarkeningCurve`, such as `examples/train_darkening.py`
            writes.
        exposure: range of ``e``, within 0 to 1, drawn evenly.

    Parameters: ``exposure``, ``(B,)``.

    Raises:
        InputError: such a range; no weights, or some that cannot be read or are of another network.

    Source: Zhou et al., "LEDNet: joint low-light enhancement and deblurring in the dark", ECCV
    2022, section 3 (EC-Zero-DCE).

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from safetensors.torch import save_file
        >>> from unfold.degradation.zero_dce import DarkeningCurve, ZeroDCEDarkening
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "curve.safetensors")
        ...     save_file(DarkeningCurve().state_dict(), file)  # untrained
        ...     darken = ZeroDCEDarkening(weights=file, exposure=(0.2, 0.2))
        >>> darken(torch.rand(1, 3, 16, 16), generator=torch.Generator()).shape
        torch.Size([1, 3, 16, 16])
    """

    def __init__(
        self,
        *,
        weights: Path | None = None,
        exposure: Annotated[tuple[Share, Share], IN_ORDER] = (0.05, 0.3),
    ) -> None:
        self.exposure = check_range("zero-dce-darkening: exposure", exposure, least=0, most=1)
        if weights is None:
            raise InputError(
                "zero-dce-darkening has no weights of its own: train some with "
                "examples/train_darkening.py and give weights=FILE, or take low-light"
            )
        self.curve = load_curve(weights)

    def sample(self, batch: int, generator: torch.Generator) -> Parameters:
        return {"exposure": uniform(batch, self.exposure, generator)}

    def apply(
        self, image: Tensor, parameters: Mapping[str, Tensor], **inputs: Tensor | None
    ) -> Tensor:
        (exposure,) = columns(image, parameters, "exposure")
        # Weights go to the photo's dtype and device, not the module: `apply` changes nothing.
        weights = {name: value.to(image) for name, value in self.curve.state_dict().items()}
        before = relative_lightness(image)
        ratio, _ = functional_call(self.curve, weights, (before, exposure.flatten()))
        return image * ratio


def load_curve(path: str | os.PathLike[str]) -> DarkeningCurve:
    """A trained curve from its safetensors file.

    Raises:
        InputError: one line that names the file, for one that cannot be read, is no safetensors
            file, or holds another network.
    """
    remedy = "give a file that examples/train_darkening.py wrote"
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: no weights can be read ({reason}); {remedy}") from error
    curve = DarkeningCurve()
    own = curve.state_dict()
    wrong = sorted(own.keys() ^ weights.keys()) or [
        name for name, value in own.items() if value.shape != weights[name].shape
    ]
    if wrong:
        names = ", ".join(wrong[:3])
        raise InputError(f"{path}: weights of another network (see {names}); {remedy}")
    curve.load_state_dict(weights)
    return curve.requires_grad_(False).eval()
