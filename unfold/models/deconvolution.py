"""Deconvolution with a known kernel: half-quadratic splitting with any prior."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

import unfold.formula as uf
from unfold.core import History, Lagrangian, Prior, Residual, State
from unfold.core.clip import clip
from unfold.estimators import HyperParameters, KernelEstimator
from unfold.estimators.defects import spliced
from unfold.estimators.reblur import reblur_share
from unfold.registry.spec import PriorLike, factory
from unfold.restorer import Restoration, Restorer

from .assembly import (
    Impute,
    channels,
    describe,
    prepare,
    requires_training,
    steps_for,
    unroll,
)
from .checks import check_inputs
from .parts import (
    BlurLike,
    EstimatorLike,
    NoiseLike,
    OptionalEstimator,
    make_blur,
    make_noise,
    make_part,
    measure_noise,
    with_hyper_parameters,
    with_kernel,
)
from .schedule import annealed, balanced, places, prior_step

ORDER = ("I", "Z")
NAMES = ("log_step", "log_w")
# The margin in the training of deconv-small, whose kernels are 39 wide. Its priors use the distance
# to the photo's border, outside which pixels are estimated: a smaller margin causes ringing along
# the border (0.4 dB of whole photos).
_LEAST_MARGIN = 20


class Deconvolution(Restorer):
    """Non-blind deconvolution by K rounds of half-quadratic splitting.

    Each round does one step for each block of::

        min x/2 ‖H⊗I − X‖² + w/2 ‖I − Z‖² + z g(Z)

    X is the photo, H its kernel. I is solved exactly by FFT, Z by the prior with the step z/w. This
    step is a noise variance that decreases from round to round to that of the photo; it is at most
    0.25². ``log z/w`` and ``log w`` are the hyper-parameters of a round. They start at the
    plug-and-play schedule ``w = 0.23 σ²/s²``, s² the step. The image is the last Z.

    A photo is not periodic: it is extended by half the kernel's size, and the result is cropped.
    Nothing was observed in that margin, so X is set to the blurred Z there (`Impute`). Without
    this, photos of 256² lose 1.2 dB with total variation and 2.4 dB with the prior ``denoiser``.

    Args:
        K: number of rounds.
        prior: prior on Z: an installed prior by name or spec, or a function of the number of
            channels that builds one.
        tied: whether all rounds share one prior.
        blur: blur of the data term: an installed term by name or spec.
        hyper_parameters: predicts z/w and w of every round.
        first_deviation: standard deviation given to the prior in the first round, unless the
            photo's noise is stronger; the default is DPIR's, about 49/255.
        noise: standard deviation of the photo's noise, if white is 1, or its estimator.
        strength: weight of the prior relative to the data: x is its reciprocal.
        border: ``"estimated"``, as above, or ``"reflected"``: in the margin X is the reflection of
            the photo.
        kernel_estimator: estimates the kernel if none is given: ``"blind"`` for a shake;
            ``"point"`` assumes a sharp photo, so that only noise is removed. None: a kernel must be
            given.
        careful: whether the photo is kept where its restoration is not reliable, if the kernel is
            estimated: the whole photo if it has no defect (`is_good`), and otherwise the places
            that the kernel does not explain (`reblur_share`). It has no effect in training.

    Parts: ``kernel`` (1 or B,1,h,w); ``share`` (B,1,H,W), the share of the restoration in the
    image, with ``careful``; ``I`` (B,3,H,W), the photo after the last deconvolution. (B,1,1,1)
    each: ``noise``, the given or estimated standard deviation for the prior; ``residue``, the
    deviation that the re-blur test expects; ``grain``, the estimated noise without the errors of
    JPEG.

    Raises:
        InputError: (from ``forward``) if no kernel is given and none is estimated.

    Source: Zhang et al., "Plug-and-play image restoration with deep denoiser prior", TPAMI 2021,
    section 4.2; unrolled and trained end to end, their USRNet (CVPR 2020).
    """

    def __init__(
        self,
        *,
        K: Annotated[int, Field(ge=2, le=1000)] = 8,
        prior: PriorLike = "denoiser",
        tied: bool = True,
        blur: BlurLike = "convolution",
        hyper_parameters: EstimatorLike = {"kind": "noise-powers", "learned": False},  # noqa: B006
        first_deviation: Annotated[float, Field(gt=0, le=0.25)] = 0.19,
        noise: NoiseLike = "noise",
        strength: Annotated[float, Field(gt=0, le=1e6)] = 1.0,
        border: Literal["estimated", "reflected"] = "estimated",
        kernel_estimator: OptionalEstimator = None,
        careful: bool = False,
    ) -> None:
        super().__init__()
        self.needs_kernel, self.careful = not kernel_estimator, careful
        self.estimator = kernel_estimator and make_part(KernelEstimator, kernel_estimator, 1, 0)
        make: Callable[[int], Prior] = factory("priors", prior)
        term = make_blur(blur, "a deconvolution", "I", "X", "H")

        self.estimates_border = border == "estimated"
        before = {"I": Impute(term, estimate="Z")} if self.estimates_border else None
        self.stages = unroll(
            lambda stage: splitting(term, make(3)), ORDER, partial(weigh, strength=strength), NAMES,
            K=K, tied=tied, before=before,
        )  # fmt: skip
        initial = initial_hyper_parameters(K, first_deviation)
        self.hyper = make_part(HyperParameters, hyper_parameters, initial)
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
        estimated = kernel is None
        measurements = measurements or self.measure(image, kernel=kernel)
        kernel, noise = measurements["kernel"] if kernel is None else kernel, measurements["noise"]
        x, frame = prepare(image, kernel, least_margin=_LEAST_MARGIN)
        given = {"T": frame.inside(x), "H": kernel.to(x), "noise": noise}
        start = {**dict.fromkeys("XYIZ", x), **given}
        state = self.stages(State(with_hyper_parameters(self.hyper, start)), history)
        parts = {"kernel": state["H"], "I": frame.crop(state["I"])}
        parts |= {name: measurements[name] for name in ("noise", "residue", "grain")}
        restored = clip(frame.crop(state["Z"]))
        if self.careful and estimated and not self.training:
            parts["share"] = reblur_share(image, parts["kernel"], parts["residue"])
            restored = spliced(image, restored, image, parts["share"], parts)
        return Restoration(restored, parts, history, frame.origin)

    def measure(self, image: Tensor, *, kernel: Tensor | None = None) -> Mapping[str, Tensor]:
        found = measure_noise(self.noise, image)
        if kernel is None and self.estimator is not None:
            found |= self.estimator.measure(image, found["noise"])
            kernel = found["kernel"]
        return found if kernel is None else with_kernel(self.noise, found, image, kernel)

    def explain(self) -> str:
        output = "image = Z; z/w, the variance given to the prior, decreases to that of the noise"
        if self.estimates_border:
            output = f"Impute: outside the photo, X ← H⊗Z\n{output}"
        parts = ("stages", "hyper") if self.estimator is None else ("estimator", "stages", "hyper")
        return describe(self, parts, ORDER, output)


def splitting(blur: Residual, prior: Prior) -> Lagrangian:
    """``x/2 ‖r‖² + w/2 ‖I − Z‖² + z g(Z)``, r the residual of a blur of I."""
    (I, Z), (x, w, z) = uf.blocks("I Z"), uf.penalties("x w z")
    return (x / 2 * uf.sq(blur) + w / 2 * uf.sq(I - Z) + z * prior(Z)).lagrangian


def initial_hyper_parameters(K: int, first_deviation: float) -> Tensor:
    """``(2, K, 2)``: the variance decreases from a first value to that of the noise."""
    steps = [annealed(first_deviation, place) for place in places(K)]
    return torch.tensor([[step, balanced(step)] for step in steps]).permute(2, 0, 1).contiguous()


def weigh(lagrangian: Lagrangian, strength: float):
    """The function that computes a stage's penalties from its hyper-parameters (see `unroll`)."""
    return partial(_penalties, step_for=steps_for(lagrangian)["Z"], strength=strength)


def _penalties(
    values: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    step_for: Callable[[Tensor], Tensor],
    strength: float,
) -> dict[str, Tensor | float]:
    w, step = values["log_w"].exp(), prior_step(values["log_step"], state["noise"], step_for)
    return {"x": 1 / strength, "w": w, "z": w * step}
