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
from .careful import spliced
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
# That of the training of deconv-small, where kernels are 39 wide. What lies beyond a photo's border
# is made up, and its priors know how far away that is: with less they leave ringing along the
# border (0.4 dB of whole photos).
_LEAST_MARGIN = 20


class Deconvolution(Restorer):
    """Non-blind deconvolution by K rounds of half-quadratic splitting.

    Each round does one step for each block of::

        min x/2 ‖H⊗I − X‖² + w/2 ‖I − Z‖² + z g(Z)

    X the photo, H its kernel. I is solved exactly by FFT, Z by the prior, which is given the step
    z/w: a noise variance that falls from round to round to that of the photo, and lies between
    that and 0.25². ``log z/w`` and ``log w`` are the hyper-parameters of a round; they start as
    the plug-and-play schedule ``w = 0.23 σ²/s²``, s² the variance given. The image is the last Z.

    Borders are those of a photo, not of a period: it is extended by the kernel's reach and cropped
    after. What lies in that margin nobody observed, so that X is there what Z says, blurred
    (`Impute`); without this, total variation loses 1.2 dB of photos of 256², and the prior
    ``denoiser`` 2.4.

    Args:
        K: rounds.
        prior: of Z: an installed prior by name or spec, or a function of the number of channels
            that builds one.
        tied: whether all rounds share one prior.
        blur: the data term's: an installed term by name or spec.
        hyper_parameters: what predicts z/w and w of every round.
        first_deviation: standard deviation that the prior is given in the first round, unless the
            photo's noise is stronger; by default DPIR's, about 49/255.
        noise: the standard deviation of the photo's noise, white being 1, or what estimates it.
        strength: of the prior against the data: x is its reciprocal.
        border: ``"estimated"``, as above, or ``"reflected"``: X stays the photo's reflection in
            the margin.
        kernel_estimator: of the kernel where none is given: ``"blind"`` estimates it, ``"point"``
            takes the photo for sharp, so that noise alone is removed. None refuses such a photo.
        careful: whether the photo stays where its restoration cannot be believed, if the kernel is
            estimated: all of a photo with which nothing is amiss (`is_good`), and those places that
            the kernel does not explain (`reblur_share`). It has no effect in training.

    Parts: ``kernel`` (1 or B,1,h,w); ``share`` (B,1,H,W), that of the restoration in the image,
    where it is ``careful``; ``I`` (B,3,H,W), the photo after the last deconvolution;
    (B,1,1,1) each: ``noise``, the standard deviation that the priors are given, as given or
    estimated; ``residue``, that which the re-blur test expects; ``grain``, the noise without what
    JPEG did to the photo, estimated.

    Raises:
        InputError: no kernel is given (from ``forward``).

    Source: Zhang et al., "Plug-and-play image restoration with deep denoiser prior", TPAMI 2021,
    section 4.2; unrolled and trained as a whole, their USRNet (CVPR 2020).
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
            kernel = found["kernel"] = self.estimator.measure(image)
        return found if kernel is None else with_kernel(self.noise, found, image, kernel)

    def explain(self) -> str:
        output = "image = Z; z/w, the variance given to the prior, falls to that of the noise"
        if self.estimates_border:
            output = f"Impute: beyond the photo's border, X ← H⊗Z\n{output}"
        parts = ("stages", "hyper") if self.estimator is None else ("estimator", "stages", "hyper")
        return describe(self, parts, ORDER, output)


def splitting(blur: Residual, prior: Prior) -> Lagrangian:
    """``x/2 ‖r‖² + w/2 ‖I − Z‖² + z g(Z)``, r the residual of a blur of I."""
    (I, Z), (x, w, z) = uf.blocks("I Z"), uf.penalties("x w z")
    return (x / 2 * uf.sq(blur) + w / 2 * uf.sq(I - Z) + z * prior(Z)).lagrangian


def initial_hyper_parameters(K: int, first_deviation: float) -> Tensor:
    """``(2, K, 2)``: the level given falls from a first one to that of the noise."""
    steps = [annealed(first_deviation, place) for place in places(K)]
    return torch.tensor([[step, balanced(step)] for step in steps]).permute(2, 0, 1).contiguous()


def weigh(lagrangian: Lagrangian, strength: float):
    """What makes the weights of a stage of its hyper-parameters (see `unroll`)."""
    return partial(_penalties, step_for=steps_for(lagrangian)["Z"], strength=strength)


def _penalties(
    values: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    step_for: Callable[[Tensor], Tensor],
    strength: float,
) -> dict[str, Tensor | float]:
    w, step = values["log_w"].exp(), prior_step(values["log_step"], state["noise"], step_for)
    return {"x": 1 / strength, "w": w, "z": w * step}
