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
from unfold.core.objective import Belief, Objective
from unfold.estimators import HyperParameters
from unfold.estimators.outliers import find_outliers
from unfold.registry.spec import PriorLike, factory
from unfold.restorer import Restoration
from unfold.terms import embed_kernel

from .assembly import count, describe, requires_training, steps_for, unroll
from .estimating import Estimates, Estimating
from .on_support import OnSupport
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
# The blocks in the poster's cycle, but begun at E: the image is the last X, which the last E thus
# reaches.
ORDER = ("E", "P", "U", "Z", "X", "G", "O", "D")
NAMES = ("log_z", "log_p", "log_s", "log_w1", "log_w2", "log_w3")
_FIRST_DEVIATION = 0.1
# E is another value than 0 where ``|Y − U|`` exceeds ``_THRESHOLD · (1 + w3)``, 0.25 at first: more
# than noise and an inexact kernel leave, less than a saturated spot or a dead pixel.
_THRESHOLD, _ERROR_PENALTY = 0.05, 4.0
# One stage moves X a little from where the last left it: a few warm-started steps suffice, and a
# fixed number never waits for the device.
_CG = CG(maximum=2, tolerance=None)


def era_objective(
    blur: Residual, *priors: Belief, error: bool = True, split: bool = True
) -> Objective:
    """ErA's objective (poster, with its misprints mended)::

        min w0/2 ‖U + E − Y‖² + φ(Z) + ws‖E‖₁ + f(P)
        subject to U = B X (dual G), X = Z (O), E = P (D)

    Y the defocused input, B the blur, X the sharp image, U the blurred one, E an error in a few
    places; Z and P auxiliaries. The poster's Γ, Ω, Δ are G, O, D; its λ1, λ2, λ3, λs are w1, w2,
    w3, ws (it uses λ3 for both of the last); its w0 is 1.

    Args:
        blur: ``B X − U``: a `Convolution`, a `FilterFlow`, or another blur.
        priors: on Z and P.
        error: whether there is an error E (the poster's ablation: False).
        split: whether it has a second prior f, on P (its other ablation).
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
    """ErA: K unrolled stages after an estimate of the defocus kernels and where they act.

    Defocus varies over the picture, so the blur is a filter flow ``B x = Σ_m W_m ⊙ (k_m ⊗ x)``
    with estimated kernels and weight maps, and X is solved by a few warm conjugate-gradient steps
    (its gradient is zero to the accuracy of that solve; with CG to convergence to 1e-10). With
    ``blur="convolution"`` it is stationary and X is one division by FFT.

    E starts at the photo's outliers, X at the photo without them, U at B X, the duals at zero: an
    outlier that X explained at first would remain in X. The prior on P keeps zeros (`OnSupport`).
    Each prior is given a noise variance between
    that of the photo and 0.25², the ℓ1 norm a threshold in these bounds: E is sparse by
    construction.

    All updates but that of X minimize the Lagrangian over their block exactly. That of X does so
    with one kernel; with several the gradient in X vanishes (to 1e-10 in float64) only if conjugate
    gradients run to convergence, and the two steps taken here leave a small residual.

    Args:
        K: stages.
        prior: of Z and P: an installed prior by name or spec, or a function of the number of
            channels that builds one.
        tied: whether all stages share their priors.
        blur: the constraint's: an installed term by name or spec.
        num_kernels: M, how many kernels are estimated. Of several the maps are a softmax; a
            single one has a map W in [0, 1] of where it acts, and beside it the photo is sharp:
            ``B x = W ⊙ (k ⊗ x) + (1 − W) ⊙ x`` (the poster's one global kernel with its weight
            map).
        error: whether there is a sparse error E (the poster's ablation: False).
        error_prior: whether it has a learned prior f on P = E (the poster's ablation: False).
        order: of the updates. ``"paper"`` is U, Z, X, E, P; its last E never reaches the image.
        kernel_estimator: of the kernels and the logits of their maps.
        noise: the standard deviation of the photo's noise, or what estimates it.
        hyper_parameters: what predicts the noise levels and penalties of every stage.
        strength: of the priors against the data: w0 is its reciprocal.

    Parts: ``kernel`` (B,M,h,w); ``maps`` (B,M,H,W), where the blur has maps; ``X``, ``Z``
    (sharp), ``U`` (blurred), ``E`` (the error) and ``P``, where they are; ``noise`` (B,1,1,1). The
    image is X. (A single kernel with a map comes as two, the second a point.)

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
        blur: BlurLike = "filter-flow",
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
            raise ValueError(
                f"num_kernels={num_kernels}: several kernels need a blur with maps, such as "
                "filter-flow; choose one kernel, or another blur"
            )
        self.num_kernels, self.uses_maps = num_kernels, self.maps
        self._errors = ("EP" if error_prior else "E") if error else ""
        self.order = ORDER if order == "error-first" else PAPER_ORDER
        term = make_blur(blur, "ErA", "X", "U", "HW" if self.maps else "H")
        # E takes P from the stage before; a P that never reaches the image has no network.
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
        """Where the optimization starts: outliers are error, the photo without them is X, and U
        is X blurred."""
        y, kernel = known.x, known.kernel
        blocks = {"Y": y, "U": torch.zeros_like(y)}
        error = find_outliers(y) if self._errors else blocks["U"]
        blocks |= dict.fromkeys("XZ", y - error) | dict.fromkeys(self._errors, error)
        given = {**blocks, "noise": known.measurements["noise"]}
        if self.maps:
            kernel, given["W"] = _with_maps(kernel, known.logits, self.num_kernels)
        state = State(with_hyper_parameters(self.hyper, {**given, "H": kernel}))
        stage: Stage = self.stages.stages[0]  # type: ignore[assignment]
        blur = stage.lagrangian.constraints[0].residual  # B X − U, at U = 0
        return state.replace("U", blur(state))

    def explain(self) -> str:
        return describe(self, ("estimator", "stages", "hyper"), self.order, "image = X")


def initial_hyper_parameters(K: int) -> Tensor:
    """``(2, K, 6)``: the levels given fall to that of the noise, penalties are balanced."""
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


def _with_maps(kernel: Tensor, logits: Tensor | None, num_kernels: int) -> tuple[Tensor, Tensor]:
    """Kernels and their maps; a point is added to a single kernel."""
    if logits is None:
        raise ValueError("the kernel estimator gives no maps: choose a blur without maps")
    if num_kernels > 1:
        return kernel, logits.softmax(1)
    share = logits.sigmoid()
    batch, _, h, w = kernel.shape
    point = embed_kernel(kernel.new_ones(batch, 1, 1, 1), (h, w))
    return torch.cat((kernel, point), 1), torch.cat((share, 1 - share), 1)
