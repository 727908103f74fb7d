"""ErA: defocus deblurring with a sparse error."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

import unfold.formula as uf
from unfold.core import CG, History, Lagrangian, Prior, Residual, Stage, State
from unfold.core.clip import clip
from unfold.core.objective import Objective, PriorOn
from unfold.errors import InputError
from unfold.estimators import HyperParameters
from unfold.estimators.outliers import find_outliers
from unfold.registry.spec import PriorLike, factory
from unfold.restorer import Restoration
from unfold.terms import embed_kernel

from .assembly import count, describe, requires_training, steps_for, unroll
from .disc_kernels import second_moment
from .estimating import Estimates, Estimating
from .parts import (
    BlurLike,
    EstimatorLike,
    NoiseLike,
    has_slot,
    make_blur,
    make_kernel_estimator,
    make_part,
    with_hyper_parameters,
)
from .schedule import annealed, balanced, places, prior_step

PAPER_ORDER = ("U", "Z", "X", "E", "P", "G", "O", "D")
# The poster's cycle of blocks, started at E, so that the last E affects the last X, which is the
# image.
ORDER = ("E", "P", "U", "Z", "X", "G", "O", "D")
NAMES = ("log_z", "log_p", "log_s", "log_w1", "log_w2", "log_w3")
_FIRST_DEVIATION = 0.1
# E is nonzero where ``|Y − U|`` exceeds ``_THRESHOLD · (1 + w3)``, initially 0.25: above the errors
# of noise and an inexact kernel, below those of saturated spots and dead pixels.
_THRESHOLD, _ERROR_PENALTY = 0.05, 4.0
# Below this second moment in square pixels, that of a disc of radius 0.85, details of the photo are
# as small as outliers, and E starts at zero.
_NARROW = 0.6
# A stage changes X little: one warm-started iteration suffices, and a fixed number never waits for
# the device.
_CG = CG(maximum=1, tolerance=None)


def era_objective(
    blur: Residual, *priors: PriorOn, error: bool = True, split: bool = True
) -> Objective:
    """ErA's objective (poster, with its misprints mended)::

        min w0/2 ‖U + E − Y‖² + φ(Z) + ws‖E‖₁ + f(P)
        subject to U = B X (dual G), X = Z (O), E = P (D)

    Y is the defocused input, B the blur, X the sharp image, U the blurred image, and E a sparse
    error; Z and P are auxiliary. The poster's Γ, Ω, Δ are G, O, D; its λ1, λ2, λ3, λs are w1, w2,
    w3, ws (it uses λ3 for both of the last); its w0 is 1.

    Args:
        blur: ``B X − U``: a `Convolution`, a `FilterFlow`, or another blur.
        priors: priors on Z and P.
        error: whether there is an error E (the poster's ablation: False).
        split: whether E has a second prior f, on P (the poster's other ablation: False).
    """
    U, X, Z, E, P = uf.blocks("U X Z E P")
    Y = uf.data("Y")
    w0, ws = uf.penalties("w0 ws")
    era = (
        w0 / 2 * uf.sq(U + E - Y if error else U - Y)
        + uf.constraint(blur, "w1", dual="G")
        + uf.constraint(X - Z, "w2", dual="O")
    )
    if error and split:
        era += uf.constraint(E - P, "w3", dual="D")
    if error:
        era += ws * uf.l1(E)
    return Objective(*era.terms, *priors)


class ErA(Estimating):
    """ErA: K unrolled stages after an estimate of the defocus kernels and their maps.

    Defocus varies over the photo, so the blur is a filter flow ``B x = Σ_m W_m ⊙ (k_m ⊗ x)`` with
    estimated kernels and maps. With ``blur="convolution"`` the blur is stationary and X is solved
    exactly by FFT.

    E starts at the photo's outliers, X at the photo without them, U at B X, and the duals at zero:
    an outlier that X contains at the start would remain in X. Where the photo is in focus, details
    are as small as outliers, and E starts at zero. The prior on P keeps zeros
    (`OnSupport`). The variance given to each prior, and the threshold of the ℓ1 norm, lie between
    the variance of the photo's noise and 0.25², so that E is sparse.

    Each update minimizes the Lagrangian over its block exactly, except that of X with several
    kernels: there one warm-started, preconditioned iteration of conjugate gradients leaves a
    residual. (Run to convergence in float64, they reduce the gradient to 1e-10.)

    Args:
        K: number of stages.
        prior: prior on Z and P: an installed prior by name or spec, or a function of the number of
            channels that builds one.
        tied: whether all stages share their priors.
        blur: blur of the constraint: an installed term by name or spec.
        num_kernels: number M of estimated kernels. The maps of several kernels are a softmax. A
            single kernel has one map W in [0, 1]; where W is 0, the photo is sharp:
            ``B x = W ⊙ (k ⊗ x) + (1 − W) ⊙ x`` (the poster's one global kernel with its weight
            map).
        error: whether there is a sparse error E (the poster's ablation: False).
        error_prior: whether E has a learned prior f, on P = E (the poster's ablation: False).
        order: order of the updates. ``"paper"`` is U, Z, X, E, P; its last E does not affect the
            image.
        kernel_estimator: estimates the kernels and the logits of their maps.
        noise: standard deviation of the photo's noise, or its estimator.
        hyper_parameters: predicts the noise levels and penalties of every stage.
        strength: weight of the priors relative to the data: w0 is its reciprocal.

    Parts: ``kernel`` (B,M,h,w); ``maps`` (B,M,H,W) if the blur has maps; ``X``, ``Z`` (sharp);
    ``U`` (blurred); ``E`` (the error) and ``P`` if they exist; ``noise`` (B,1,1,1). The image is X.
    A single kernel with a map is returned as two kernels, of which the second is a point.

    Source: the ErA poster, with the misprints mended.

    Example:
        >>> import torch
        >>> from unfold.models.era import ErA
        >>> small, kernels = {"kind": "resunet", "widths": (4, 8)}, {"kind": "kernel", "size": 5}
        >>> model = ErA(K=1, prior=small, num_kernels=2, kernel_estimator=kernels)
        >>> parts = model(torch.rand(1, 3, 32, 32)).parts
        >>> parts["kernel"].shape, parts["E"].shape
        (torch.Size([1, 2, 5, 5]), torch.Size([1, 3, 32, 32]))
    """

    def __init__(
        self,
        *,
        K: Annotated[int, Field(ge=1, le=1000)] = 5,
        prior: PriorLike = {"kind": "resunet", "residual": True},  # noqa: B006
        tied: bool = False,
        blur: BlurLike = {"kind": "filter-flow", "local": True},  # noqa: B006
        num_kernels: Annotated[int, Field(ge=1, le=64)] = 3,
        error: bool = True,
        error_prior: bool = True,
        order: Literal["error-first", "paper"] = "error-first",
        kernel_estimator: EstimatorLike = "kernel",
        noise: NoiseLike = "noise",
        hyper_parameters: EstimatorLike = "noise-powers",
        strength: Annotated[float, Field(gt=0, le=1e6)] = 1.0,
    ) -> None:
        super().__init__()
        make: Callable[[int], Prior] = factory("priors", prior)
        self.maps = has_slot(blur, "maps")
        if num_kernels > 1 and not self.maps:
            raise InputError(
                f"num_kernels={num_kernels}: several kernels need a blur with maps: set "
                "blur='filter-flow', or num_kernels=1"
            )
        self.num_kernels, self.uses_maps = num_kernels, self.maps
        self._errors = ("EP" if error_prior else "E") if error else ""
        self.order = ORDER if order == "error-first" else PAPER_ORDER
        term = make_blur(blur, "ErA", "X", "U", "HW" if self.maps else "H")
        # E uses the P of the stage before; a P that does not affect the image has no network.
        reaches = K - 1 if order == "error-first" else K - 2

        def declare(stage: int) -> Lagrangian:
            Z, P = uf.blocks("Z P")
            z, p = uf.penalties("z p")
            priors = [z * make(3)(Z)]
            if error and error_prior and (tied or stage < reaches):
                priors.append(p * OnSupport(make(3))(P))
            return era_objective(term, *priors, error=error, split=error_prior).lagrangian

        maps = num_kernels if self.maps else 0
        self.estimator = make_kernel_estimator(kernel_estimator, num_kernels, maps)
        self.stages = unroll(
            declare,
            self.order,
            partial(_penalties_of, strength=strength),
            NAMES,
            K=K,
            tied=tied,
            cg=_CG,
        )
        self.hyper = make_part(HyperParameters, hyper_parameters, initial_hyper_parameters(K))
        self.add_parts(noise=noise)
        self.requires_training = requires_training(self)
        if count(self) == count(self.hyper):
            self.channels = None

    def forward(
        self,
        image: Tensor,
        *,
        kernel: Tensor | None = None,
        history: History | None = None,
        measurements: Mapping[str, Tensor] | None = None,
    ) -> Restoration:
        known = self.estimate(image, kernel, measurements)
        state = self.stages(self.start(known), history)
        parts = {name: known.frame.crop(state[name]) for name in "XZUEP" if name in state}
        if self.maps:
            parts["maps"] = known.frame.crop(state["W"])
        estimated = {"kernel": state["H"], **self.measured_parts(known)}
        return Restoration(clip(parts["X"]), {**estimated, **parts}, history, known.frame.origin)

    def start(self, known: Estimates) -> State:
        """The initial values: E is the photo's outliers where it is blurred, X the photo without
        them, U is X blurred."""
        y, kernel, maps = known.x, known.kernel, None
        if self.maps:
            kernel, maps = _with_maps(kernel, known.logits, self.num_kernels)
        blocks = {"Y": y, "U": torch.zeros_like(y)}
        error = find_outliers(y) * _blurred(kernel, maps) if self._errors else blocks["U"]
        blocks |= dict.fromkeys("XZ", y - error) | dict.fromkeys(self._errors, error)
        given = {**blocks, "noise": known.measurements["noise"]}
        if maps is not None:
            given["W"] = maps
        state = State(with_hyper_parameters(self.hyper, {**given, "H": kernel}))
        stage: Stage = self.stages.stages[0]  # type: ignore[assignment]
        blur = stage.lagrangian.constraints[0].residual  # B X − U, at U = 0
        return state.replace("U", blur(state))

    def explain(self) -> str:
        return describe(self, ("estimator", "stages", "hyper"), self.order, "image = X")


def initial_hyper_parameters(K: int) -> Tensor:
    """``(2, K, 6)``: the levels decrease to that of the noise, and penalties are balanced."""
    rows = []
    for place in places(K):
        level = annealed(_FIRST_DEVIATION, place)
        constants = [(math.log(value), 0.0) for value in (_THRESHOLD, 1.0, _ERROR_PENALTY)]
        rows.append([level, level, constants[0], constants[1], balanced(level), constants[2]])
    return torch.tensor(rows).permute(2, 0, 1).contiguous()


def _penalties_of(lagrangian: Lagrangian, strength: float):
    return partial(_penalties, step_for=steps_for(lagrangian), strength=strength)


def _penalties(
    values: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    step_for: Mapping[str, Callable[[Tensor], Tensor]],
    strength: float,
) -> dict[str, Tensor | float]:
    noise = state["noise"]
    w0, w1, w2, w3 = 1 / strength, *(values[f"log_w{i}"].exp() for i in (1, 2, 3))
    made = {"w0": w0, "w1": w1, "w2": w2, "w3": w3}
    made["z"] = prior_step(values["log_z"], noise, step_for["Z"]) * w2
    if "E" in step_for:
        split = w3 if "P" in state else 0.0
        made["ws"] = prior_step(values["log_s"], noise, step_for["E"]) * (w0 + split)
    if "P" in step_for:
        made["p"] = prior_step(values["log_p"], noise, step_for["P"]) * w3
    return made


def _blurred(kernel: Tensor, maps: Tensor | None) -> Tensor:
    """Whether the blur at each pixel is as wide as a disc of radius 0.85, ``(B, 1, H, W)``, or
    ``(B, 1, 1, 1)`` without maps."""
    moment = second_moment(kernel)[..., None, None]
    width = moment if maps is None else (moment * maps).sum(1, keepdim=True)
    return width.amax(1, keepdim=True) >= _NARROW


def _with_maps(kernel: Tensor, logits: Tensor | None, num_kernels: int) -> tuple[Tensor, Tensor]:
    """Kernels and their maps; a single kernel is complemented by a point."""
    if logits is None:
        raise InputError("the kernel estimator returns no maps: choose a blur without maps")
    if num_kernels > 1:
        return kernel, logits.softmax(1)
    share = logits.sigmoid()
    batch, _, h, w = kernel.shape
    point = embed_kernel(kernel.new_ones(batch, 1, 1, 1), (h, w))
    return torch.cat((kernel, point), 1), torch.cat((share, 1 - share), 1)


class OnSupport(Prior):
    """``prox(v) · 1[v ≠ 0]``: a prior on images, for a sparse block.

    A denoiser spreads a spot over its surroundings; with `OnSupport`, zeros remain zeros.

    Args:
        prior: prior for the nonzero pixels.
    """

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.prior = prior
        self.accepts_map = prior.accepts_map
        self.differentiable = prior.differentiable
        self.requires_training = prior.requires_training
        self.channels = prior.channels

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return self.prior(v, step) * (v != 0)

    def step_for(self, variance: Tensor) -> Tensor:
        return self.prior.step_for(variance)
