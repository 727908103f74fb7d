"""Removal of defocus that varies over the photo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from unfold.core import CG, History, Prior, State
from unfold.core.clip import clip
from unfold.estimators.blur_radius import CELL, blur_radius_of_cells, interpolated
from unfold.estimators.hyper_parameters import NoisePowers
from unfold.registry.spec import PriorLike, factory
from unfold.restorer import Restoration, Restorer
from unfold.terms import FilterFlow

from .assembly import channels, describe, prepare, requires_training, unroll
from .checks import check_inputs
from .deconvolution import NAMES, ORDER, initial_hyper_parameters, splitting, weigh
from .disc_kernels import DiscKernels
from .parts import NoiseLike, make_noise, measure_noise, with_hyper_parameters

_FIRST_DEVIATION = 0.05  # given to the prior in the first round
# A stage changes I little; a fixed number of iterations never waits for the device.
_CG = CG(maximum=2, tolerance=None)
# Radii in pixels: a photo is in focus up to the first, and blurred from the second on.
_SHARP, _BLURRED = 0.5, 1.0
# Energies relative to the noise, of the photo minus the restoration blurred again: the restoration
# is used below the first and not above the second. Means over squares of this many 8×8 cells.
_FITS, _FAILS = 1.5, 2.5
_CELL, _WINDOW = 8, 5
_GIVEN_BACK = 0.5


class Refocus(Restorer):
    """Deblurs a photo that is partly out of focus. By default nothing is learned.

    The blur radius is estimated at each pixel (`blur_radius`). Discs whose radii span those of the
    photo, with maps W that are linear between neighboring radii (`DiscKernels`), form a filter flow
    B. K rounds of
    half-quadratic splitting, with one step for each block, reduce::

        min x/2 ‖B I − X‖² + w/2 ‖I − Z‖² + z g(Z),    B I = Σ W_m ⊙ (H_m ⊗ I)

    X is the photo. I is solved by preconditioned, warm-started conjugate gradients (`FilterFlow`),
    Z by the prior. The noise variance given to the prior decreases to that of the photo.

    The restoration is the last Z plus half of the residual ``X − B Z``, which contains noise and
    fine texture that the prior removed. The image is a weighted mean of the restoration and the
    photo. The restoration's share is 0 where the photo is in focus (1 for radii above 1, 0 below
    0.5), and where ``X − B Z`` has more energy than the noise (1 below 1.5 times the noise's
    energy, 0 above 2.5 times).

    A radius above ``largest`` is treated as ``largest``. A filter flow does not describe a blurred
    foreground object that covers part of the background: its edges keep halos. Camera shake is not
    estimated (see `unfold.estimate_kernel`).

    Args:
        K: number of rounds.
        prior: prior on Z: an installed prior by name or spec, or a function of the number of
            channels that builds one. The learned prior ``"denoiser"`` restores more.
        num_kernels: number of discs.
        largest: radius of the largest disc, in pixels.
        noise: standard deviation of the photo's noise, if white is 1, or its estimator.
        strength: weight of the prior relative to the data: x is its reciprocal.

    Parts: ``radius`` (B,1,H,W), in pixels, if no kernel is given; ``share`` (B,1,H,W), the share of
    the restoration in the image; ``kernel`` (B,M,h,w) and ``maps`` (B,M,H,W), the discs and
    their maps; ``I`` (B,3,H,W), the photo after the last deconvolution; ``noise`` (B,1,1,1), the
    standard deviation given to the prior; ``grain`` (B,1,1,1), the noise without the errors of
    JPEG.

    A given kernel is assumed to be correct for the whole photo.

    Source: `blur_radius` for the radius; Hirsch et al., "Efficient filter flow for space-variant
    multiframe blind deconvolution", CVPR 2010; Zhang et al., "Plug-and-play image restoration with
    deep denoiser prior", TPAMI 2021, section 4.2, for the schedule.

    Example:
        >>> import torch
        >>> from unfold.models.refocus import Refocus
        >>> restoration = Refocus(K=2)(torch.rand(1, 3, 64, 64))
        >>> restoration.image.shape, restoration.parts["radius"].shape
        (torch.Size([1, 3, 64, 64]), torch.Size([1, 1, 64, 64]))
    """

    # The receptive field is measured where a photo has most detail. That is where it is in focus
    # and does not change; elsewhere the receptive field is larger.
    min_receptive_field = 64
    measured_maps = {"radius": CELL}  # noqa: RUF012

    def __init__(
        self,
        *,
        K: Annotated[int, Field(ge=2, le=1000)] = 4,
        prior: PriorLike = {"kind": "total-variation", "iterations": 5},  # noqa: B006
        num_kernels: Annotated[int, Field(ge=2, le=32)] = 4,
        largest: Annotated[float, Field(ge=1, le=7)] = 7.0,
        noise: NoiseLike = "noise",
        strength: Annotated[float, Field(gt=0, le=1e6)] = 1.0,
    ) -> None:
        super().__init__()
        make: Callable[[int], Prior] = factory("priors", prior)
        self.discs = DiscKernels(num_kernels, largest=largest)
        self._blur = FilterFlow("I", kernels="H", maps="W", observed="X", local=True)

        self.stages = unroll(
            lambda stage: splitting(self._blur, make(3)), ORDER, partial(weigh, strength=strength),
            NAMES, K=K, tied=True, cg=_CG,
        )  # fmt: skip
        self.hyper = NoisePowers(initial_hyper_parameters(K, _FIRST_DEVIATION), learned=False)
        self.noise = make_noise(noise)
        self.requires_training = requires_training(self.stages)
        self.channels = channels(self.stages)

    def forward(
        self,
        image: Tensor,
        *,
        kernel: Tensor | None = None,
        history: History | None = None,
        measurements: Mapping[str, Tensor] | None = None,
    ) -> Restoration:
        check_inputs(self, image, kernel)
        measurements = measurements or self.measure(image)
        x, frame = prepare(image, kernel, size=self.discs.kernel_size)
        blind, radius = kernel is None, torch.zeros_like(x[:, :1])
        if kernel is None:
            cells = measurements.get("radius")
            if cells is None:
                cells = blur_radius_of_cells(image, measurements["noise"])
            radius = interpolated(cells, CELL, image)
            radius = prepare(radius, None, size=self.discs.kernel_size)[0]
            kernel = measurements["kernel"].to(radius)
            maps = self.discs.maps(radius, kernel)
        else:
            maps = torch.ones_like(radius)
        given = {"H": kernel.to(x), "W": maps, "noise": measurements["noise"]}
        start = State(with_hyper_parameters(self.hyper, {**dict.fromkeys("XIZ", x), **given}))
        state = self.stages(start, history)
        left = -self._blur(state.replace("I", state["Z"]))  # X − B Z
        share = (
            self._share(left, radius, measurements["noise"]) if blind else torch.ones_like(radius)
        )
        restored = clip(torch.lerp(x, state["Z"] + _GIVEN_BACK * left, share))
        parts = {"share": share, "maps": maps, "I": state["I"]}
        parts = {name: frame.crop(part) for name, part in parts.items()}
        parts |= {"radius": frame.crop(radius)} if blind else {}
        parts |= {
            "kernel": state["H"],
            "noise": measurements["noise"],
            "grain": measurements["grain"],
        }
        return Restoration(frame.crop(restored), parts, history, frame.origin)

    def measure(self, image: Tensor, *, kernel: Tensor | None = None) -> Mapping[str, Tensor]:
        found = measure_noise(self.noise, image)
        if kernel is not None:
            return {**found, "kernel": kernel}
        return {**found, **self.discs.measure(image, found["noise"])}

    def explain(self) -> str:
        output = (
            "image = X + share⊙(Z + ½(X − B Z) − X); share = 0 where the photo is in focus, and "
            "where X − B Z has more energy than the noise"
        )
        return describe(self, ("stages",), ORDER, output)

    def _share(self, left: Tensor, radius: Tensor, noise: Tensor) -> Tensor:
        """The share of the restoration in the image, ``(B, 1, H, W)``."""
        blurred = ((radius - _SHARP) / (_BLURRED - _SHARP)).clamp(0, 1)
        cells = avg_pool2d(left.square().mean(1, keepdim=True) / noise.square(), _CELL)
        energy = avg_pool2d(cells, _WINDOW, 1, _WINDOW // 2, count_include_pad=False)
        explained = ((_FAILS - energy) / (_FAILS - _FITS)).clamp(0, 1)
        return blurred * interpolate(explained, scale_factor=_CELL, mode="bilinear")
