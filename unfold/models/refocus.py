"""Defocus that varies over the photo, removed with nothing learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from unfold.core import (
    CG,
    Equal,
    Lagrangian,
    Ledger,
    Prior,
    Quadratic,
    Regularizer,
    Restoration,
    State,
)
from unfold.core.clip import clip
from unfold.estimators.blur_radius import blur_radius
from unfold.estimators.hyper_parameters import NoisePowers
from unfold.registry.spec import PriorLike, factory
from unfold.terms import FilterFlow

from .assembly import Extending, describe, requires_training, steps_for, unroll
from .checks import check_image
from .disc_kernels import DiscKernels
from .parts import NoiseLike, make_noise, measure_noise, with_hyper_parameters
from .schedule import annealed, balanced, places, told

ORDER = ("I", "Z")
NAMES = ("log_step", "log_w")
_FIRST_DEVIATION = 0.05  # that the prior is told in the first round
# A stage moves I a little from where the last left it; a fixed number never waits for the device.
_CG = CG(maximum=3, tolerance=None)
# Radii, in pixels, up to which a photo is in focus, and from which on it is not.
_SHARP, _BLURRED = 0.5, 1.0
# Of the noise's energy: what the restoration, blurred again, leaves of the photo where it is
# believed, and where it is not; in means over squares of so many cells of 8×8 pixels.
_FITS, _FAILS = 1.5, 2.5
_CELL, _WINDOW = 8, 5


class Refocus(Extending):
    """Deblurs a photo that is out of focus in parts, each by a radius of its own.

    The radius of the blur is estimated at each pixel (`blur_radius`). Discs of a few radii with
    maps W, linear between neighboring radii, are a filter flow B, and K rounds of half-quadratic
    splitting, one step for each block, descend towards the minimum of::

        min x/2 ‖B I − X‖² + w/2 ‖I − Z‖² + z g(Z),    B I = Σ W_m ⊙ (H_m ⊗ I)

    X the photo. I is solved by conjugate gradients, warm and preconditioned (`FilterFlow`), Z by
    the prior, which is told a noise variance that falls to that of the photo. The image is the
    last Z, but only where it can be believed: not where the photo is in focus (a radius up to 0.5;
    all of it from 1 on), and not where Z, blurred again, leaves more of the photo than its noise.
    There the photo stays as it is.

    Blur by more than 7 pixels is not told, and by more than ``largest`` is treated as that. A
    bright thing before a dark one is blurred over its edge, which no filter flow describes: there
    halos remain. The camera that moved (`unfold.estimate_kernel`) is not looked for.

    Args:
        K: rounds.
        prior: of Z: an installed prior by name or spec, or a function of the number of channels
            that builds one. ``"denoiser"``, which is learned, restores more.
        num_kernels: discs, one of them a point.
        largest: radius of the largest disc, in pixels.
        noise: the standard deviation of the photo's noise, white being 1, or what estimates it.
        strength: of the prior against the data: x is its reciprocal.

    Parts: ``radius`` (B,1,H,W), in pixels, where no kernel is given; ``share`` (B,1,H,W), that of
    Z in the image; ``kernel`` (1 or B,M,h,w) and ``weights`` (B,M,H,W), the discs and their maps;
    ``I`` (B,3,H,W), the photo after the last deconvolution; ``noise``, ``grain`` (B,1,1,1), the
    standard deviation that the prior is told, and that without what JPEG did to the photo.

    A kernel that is given is taken for that of the whole photo, and believed.

    Source: `blur_radius` for the radius; Hirsch et al., "Efficient filter flow for space-variant
    multiframe blind deconvolution", CVPR 2010; Zhang et al., "Plug-and-play image restoration with
    deep denoiser prior", TPAMI 2021, section 4.2, for the schedule.
    """

    def __init__(
        self,
        *,
        K: Annotated[int, Field(ge=2)] = 4,
        prior: PriorLike = {"kind": "total-variation", "iterations": 5},  # noqa: B006
        num_kernels: Annotated[int, Field(ge=2, le=32)] = 8,
        largest: Annotated[float, Field(ge=1, le=7)] = 5.0,
        noise: NoiseLike = "noise",
        strength: Annotated[float, Field(gt=0)] = 1.0,
    ) -> None:
        super().__init__()
        make: Callable[[int], Prior] = factory("priors", prior)
        self.discs = DiscKernels(num_kernels, largest=largest)
        self._blur = FilterFlow("I", kernels="H", weights="W", observed="X")

        def declare(k: int) -> Lagrangian:
            return Lagrangian(
                Quadratic(self._blur, "x"), Quadratic(Equal("I", "Z"), "w"),
                Regularizer("Z", make(3), "z"),
            )  # fmt: skip

        def weigh(lagrangian: Lagrangian):
            return partial(_weights, step_for=steps_for(lagrangian)["Z"], strength=strength)

        self.stages = unroll(declare, ORDER, weigh, NAMES, K=K, tied=True, cg=_CG)
        steps = [annealed(_FIRST_DEVIATION, place) for place in places(K)]
        initial = torch.tensor([[step, balanced(step)] for step in steps]).permute(2, 0, 1)
        self.hyper = NoisePowers(initial.contiguous(), learned=False)
        self.noise = make_noise(noise)
        self.requires_training = requires_training(self.stages)

    def forward(
        self,
        image: Tensor,
        *,
        kernel: Tensor | None = None,
        ledger: Ledger | None = None,
        guide: Mapping[str, Tensor] | None = None,
    ) -> Restoration:
        check_image(image)
        guide = guide or self.survey(image)
        x, frame = self.prepare(image, kernel)
        blind, radius = kernel is None, torch.zeros_like(x[:, :1])
        if kernel is None:
            radius = blur_radius(x, guide["noise"])
            kernel, maps = self._flow(radius)
        else:
            maps = torch.ones_like(radius)
        given = {"H": kernel.to(x), "W": maps, "noise": guide["noise"]}
        start = State(with_hyper_parameters(self.hyper, {**dict.fromkeys("XIZ", x), **given}))
        state = self.stages(start, ledger)
        share = self._share(state, radius) if blind else torch.ones_like(radius)
        restored = clip(torch.lerp(x, state["Z"], share))
        parts = {"share": share, "weights": maps, "I": state["I"]}
        parts = {name: frame.crop(part) for name, part in parts.items()}
        parts |= {"radius": frame.crop(radius)} if blind else {}
        parts |= {"kernel": state["H"], "noise": guide["noise"], "grain": guide["grain"]}
        return Restoration(frame.crop(restored), parts, ledger)

    def survey(self, image: Tensor, *, kernel: Tensor | None = None) -> Mapping[str, Tensor]:
        return measure_noise(self.noise, image)

    @property
    def kernel_size(self) -> int:
        return self.discs.kernel_size

    def explain(self) -> str:
        output = "image = share⊙Z + (1 − share)⊙X; no share is taken where the photo is in focus,\n"
        output += "or B Z leaves more of it than its noise"
        return describe(self, ("stages",), ORDER, output)

    def _flow(self, radius: Tensor) -> tuple[Tensor, Tensor]:
        """The discs that any photo has, and their maps."""
        maps = self.discs.maps(radius)
        used = maps.amax((0, 2, 3)) > 0
        return self.discs.measure(radius)[:, used], maps[:, used]

    def _share(self, state: State, radius: Tensor) -> Tensor:
        """The share of the restoration that is believed, ``(B, 1, H, W)``."""
        blurred = ((radius - _SHARP) / (_BLURRED - _SHARP)).clamp(0, 1)
        left = self._blur(state.replace("I", state["Z"])).square().mean(1, keepdim=True)
        cells = avg_pool2d(left / state["noise"].square(), _CELL)
        energy = avg_pool2d(cells, _WINDOW, 1, _WINDOW // 2, count_include_pad=False)
        explained = ((_FAILS - energy) / (_FAILS - _FITS)).clamp(0, 1)
        return blurred * interpolate(explained, scale_factor=_CELL, mode="bilinear")


def _weights(
    values: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    step_for: Callable[[Tensor], Tensor],
    strength: float,
) -> dict[str, Tensor | float]:
    w, step = values["log_w"].exp(), told(values["log_step"], state["noise"], step_for)
    return {"x": 1 / strength, "w": w, "z": w * step}
