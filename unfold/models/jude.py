"""JUDE: joint motion deblurring and low-light enhancement."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

import unfold.formula as uf
from unfold.core import CG, History, Lagrangian, Prior, Regularizer, Residual, State, Step
from unfold.core.clip import clip
from unfold.core.objective import Objective, PriorOn
from unfold.errors import InputError
from unfold.estimators import (
    HyperParameters,
)
from unfold.estimators.defects import spliced
from unfold.estimators.illumination import DARKEST, retinex_split
from unfold.estimators.reblur import as_bright_as, reblur_share
from unfold.registry.spec import PriorLike, factory
from unfold.restorer import Restoration
from unfold.terms import Convolution

from .assembly import Impute, Take, count, describe, requires_training, steps_for, unroll
from .estimating import Estimates, Estimating
from .parts import (
    BlurLike,
    EstimatorLike,
    NoiseLike,
    OptionalEstimator,
    OptionalPrior,
    has_slot,
    make_blur,
    make_kernel_estimator,
    make_part,
    with_hyper_parameters,
)
from .schedule import LARGEST, annealed, balanced, places, prior_step, product_weights

PAPER_ORDER = ("P", "R", "Q", "L", "Z", "I", "G", "O", "D")
# The image is computed from the last R and L. In the paper's order these depend on the Z of the
# stage before, and that Z on the I of the stage before it: the last two deconvolutions and the last
# prior on Z have no effect. In this order, every update of every stage affects the image. The
# reflectance follows the light: it contains what a smooth light does not explain of Z.
ORDER = ("I", "Z", "Q", "L", "P", "R", "G", "O", "D")
NAMES = ("log_z", "log_p", "log_q", "log_w2", "log_w3", "log_w4", "log_w5")
_FIRST_DEVIATION, _LIGHT_DEVIATION = 0.05, 0.1
_RATIO = 0.01  # smallest ratio of the penalties on P and Q to the weight of their product
_FIT = 0.03  # weight of the product, relative to the penalty of I = Z
# Penalty of ``‖H − K‖²``, relative to the energy of the image I.
_PULL = 1e-2
_CG = CG(maximum=4, tolerance=None)  # (a fixed number never waits for the device)


def jude_objective(
    *priors: PriorOn, blur: Residual | None = None, kernel: bool = False
) -> Objective:
    """JUDE's objective (paper eq. 4, with its misprints mended)::

        min w1/2 ‖H⊗I − X‖² + w2/2 ‖Z − P⊙Q‖² + g_Z(Z) + g_P(P) + g_Q(Q)
        subject to R = P (dual G), L = Q (O), I = Z (D)

    X is the blurred, dark input, H its kernel, I the sharp, dark image, R the reflectance, and L
    the illumination; P, Q, Z are auxiliary. The paper's Γ, Ω, Δ are G, O, D; its λ1...λ5 are
    w1...w5. In the paper R and L occur in their own constraints only: from zero duals R ≡ P and
    L ≡ Q, and only D changes. `JUDE` adds the bounds 0 <= R <= 1 and 0 < L <= 1.

    Args:
        priors: priors on any of the blocks.
        blur: the first residual, if it is not the convolution.
        kernel: whether the kernel is also a block. This adds ``w6/2 ‖H − K‖²``, in which K is the
            previous kernel, and ``k g_K(K)``, which ensures that K is a kernel (`Simplex`).
    """
    I, Z, P, R, Q, L, K = uf.blocks("I Z P R Q L K")
    X, H = uf.data("X"), uf.blocks("H") if kernel else uf.data("H")
    w1, w2, w6, k = uf.penalties("w1 w2 w6 k")
    jude = (
        w1 / 2 * uf.sq(blur or uf.conv(H, I) - X)
        + w2 / 2 * uf.sq(Z - P * Q)
        + uf.constraint(R - P, "w3", dual="G")
        + uf.constraint(L - Q, "w4", dual="O")
        + uf.constraint(I - Z, "w5", dual="D")
    )
    if kernel:
        jude += w6 / 2 * uf.sq(H - K) + k * uf.simplex(K)
    return Objective(*jude.terms, *priors)


class JUDE(Estimating):
    """JUDE: K unrolled stages between a kernel estimate and an illumination enhancer.

    The paper's default has K = 5 untied stages, a learned prior each on P, Q and Z, 31×31 kernels,
    and 35.4 million parameters. It starts at I = Z = X and a Retinex split of X, with zero duals.

    With an exposure estimator, X is the photo at full exposure, whose noise is amplified more in
    dark regions than in bright ones. The denoiser, and a learned prior on Z that accepts a step for
    each pixel, are therefore given the noise at each pixel. Each prior is given a variance between
    that of the noise of X and 0.25² (see `unfold.models.schedule`). The variance for P is larger
    where Q is darker, because dividing by a low light amplifies noise. The splits R = P and L = Q
    project R to [0, 1] and L to [0.01, 1]. These bounds fix the scale of the product: L is at least
    the largest channel of R ⊙ L. The image is ``enhancer(L) ⊙ denoiser(R)``.

    Args:
        K: number of stages.
        prior: prior on P, Q and Z: an installed prior by name or spec, or a function of the number
            of channels that builds one. The paper's ablation is ``prior="ircnn", denoiser=None``.
        light_prior: another prior on Q.
        reflectance_prior: another prior on P.
        tied: whether all stages share their priors.
        blur: blur of the data term: an installed term by name or spec. ``"masked-convolution"``
            uses the trust map as its mask, ``"filter-flow"`` several kernels with maps.
        num_kernels: number of estimated kernels; several kernels need a blur with maps.
        trust: whether a map of trust in the blur model is estimated; the convolution uses it by
            `Impute`.
        kernel_updates: whether H is a block: each stage refines the estimated or given kernel by
            conjugate gradients on ``w1/2 ‖H⊗I − X‖² + w6/2 ‖H − K‖²``, and K is its projection onto
            kernels. This requires the blur ``"convolution"`` and the order ``"data-first"``, and
            restores the whole photo at once, because each tile would give another kernel.
        kernel_estimator, enhancer, denoiser: estimate the kernel, enhance the illumination, and
            denoise the reflectance. With None the illumination or the reflectance is not changed
            (``denoiser=None`` is the paper's ablation).
        exposure: estimates the gain that brings a dark photo to full exposure; None: no gain.
        noise: standard deviation of the photo's noise, or its estimator.
        hyper_parameters: predicts the noise levels and penalties of every stage. The paper's
            module of section 3.3 is ``"predicted-from-kernel"``.
        illumination_channels: 1, or 3 for colored light.
        order: order of the updates. ``"paper"`` is P, R, Q, L, Z, I; its last two updates of I and
            its last update of Z do not affect the image. ``"data-first"`` is I, Z, Q, L, P, R, in
            which all updates do.
        reflectance: what is denoised at the end: ``"R"``, or the quotient ``"Z/L"``, which keeps
            what P ⊙ Q does not explain of Z. With ``"Z/L"`` the part R is that quotient.
        start: ``"photo"``, or the paper's ``"zero"``. From zero, X enters through I only, and only
            the bound on L moves the product PQ from its saddle point.
        strength: weight of the priors relative to the data: w1 is its reciprocal.
        careful: whether the photo is kept where its restoration is not reliable, if one kernel is
            estimated: the whole photo if it has no defect (`is_good`), and otherwise the places
            that the kernel does not explain (`reblur_share`), with the brightness of the result. It
            has no effect in training.

    Parts: ``kernel`` (B,M,h,w); ``trust`` (B,1,H,W) if it is estimated; ``maps`` (B,M,H,W) of
    several kernels; ``share`` (B,1,H,W), the share of the restoration in the image, with
    ``careful``; ``I``, ``Z`` (sharp), ``R``, ``L``, and ``enhanced`` (the enhanced illumination)
    and ``denoised`` (the denoised reflectance), whose product is the image. (B,1,1,1) each:
    ``noise``, the standard deviation in X given to the priors; ``residue``, the deviation that the
    re-blur test expects; ``grain``, the noise without the errors of JPEG; ``gain`` and ``curve``
    with an exposure estimator. ``scene`` (B,C,h,w) if the enhancer is pooled: its features at the
    coarsest level.

    Source: the JUDE paper and supplement, with the misprints mended.

    Example:
        >>> import torch
        >>> from unfold.models.jude import JUDE
        >>> model = JUDE(K=1, prior="total-variation", enhancer="power-curve", denoiser=None)
        >>> point = torch.ones(1, 1, 1, 1)
        >>> parts = model(torch.rand(1, 3, 32, 32), kernel=point).parts
        >>> parts["R"].shape, parts["L"].shape
        (torch.Size([1, 3, 32, 32]), torch.Size([1, 3, 32, 32]))
    """

    def __init__(
        self,
        *,
        K: Annotated[int, Field(ge=1, le=1000)] = 5,
        prior: PriorLike = "resunet",
        light_prior: OptionalPrior = None,
        reflectance_prior: OptionalPrior = None,
        tied: bool = False,
        blur: BlurLike = "convolution",
        num_kernels: Annotated[int, Field(ge=1, le=64)] = 1,
        trust: bool = True,
        kernel_estimator: EstimatorLike = "kernel",
        enhancer: OptionalEstimator = "illumination",
        denoiser: OptionalEstimator = "reflectance",
        exposure: OptionalEstimator = None,
        noise: NoiseLike = "noise",
        hyper_parameters: EstimatorLike = "noise-powers",
        illumination_channels: Literal[1, 3] = 3,
        order: Literal["data-first", "paper"] = "data-first",
        reflectance: Literal["R", "Z/L"] = "R",
        start: Literal["photo", "zero"] = "photo",
        strength: Annotated[float, Field(gt=0, le=1e6)] = 1.0,
        careful: bool = False,
        kernel_updates: bool = False,
    ) -> None:
        super().__init__()
        light = self.illumination_channels = illumination_channels
        self.order = ORDER if order == "data-first" else PAPER_ORDER
        self.strength, self.zero, self.quotient = strength, start == "zero", reflectance == "Z/L"
        self.maps = has_slot(blur, "maps")
        self.trusts, self.careful = trust, careful and not self.maps
        if (self.maps and trust) or (num_kernels > 1 and not self.maps):
            raise InputError(
                "several kernels need a blur with maps, such as filter-flow, which uses no trust "
                f"map: got num_kernels={num_kernels}, trust={trust}; set trust=False, or "
                "num_kernels=1"
            )
        num_maps = num_kernels if self.maps else int(trust)
        self.uses_maps = num_maps > 0
        self.estimator = make_kernel_estimator(kernel_estimator, num_kernels, num_maps, trust=trust)
        term = make_blur(blur, "JUDE", "I", "X", "HW" if self.maps else "HT" if trust else "H")
        self.kernel_updates = self.needs_full_image = kernel_updates
        if kernel_updates:
            if not isinstance(term, Convolution) or order == "paper":
                raise InputError(
                    "kernel_updates needs blur='convolution' and order='data-first', got "
                    f"{type(term).__name__} and {order!r}: change them, or remove kernel_updates"
                )
            at = self.order.index("Q")
            self.order = (*self.order[:at], "H", "K", *self.order[at:])
        make: Callable[[int], Prior] = factory("priors", prior)
        make_light = make if light_prior is None else factory("priors", light_prior)
        make_reflectance = (
            make if reflectance_prior is None else factory("priors", reflectance_prior)
        )

        def declare(stage: int) -> Lagrangian:
            # In the paper's order the last Z does not affect the image: it has no network.
            reaches = tied or order == "data-first" or stage < K - 1
            P, Q, R, L, Z = uf.blocks("P Q R L Z")
            p, q, r, l, z = uf.penalties("p q r l z")
            priors = [p * make_reflectance(3)(P), q * make_light(light)(Q)]
            priors += [z * make(3)(Z)] if reaches else []
            priors += [r * uf.box(R), l * uf.box(L, low=DARKEST)]
            return jude_objective(*priors, blur=term, kernel=kernel_updates).lagrangian

        before: dict[str, Step] = {}
        if trust and not has_slot(blur, "mask"):
            before["I"] = Impute(term)
        if kernel_updates:
            before["Q"] = Take("H", "K")
        self.stages = unroll(
            declare, self.order, self._penalties_of, NAMES,
            K=K, tied=tied, cg=_CG, before=before,
        )  # fmt: skip
        self.hyper = make_part(HyperParameters, hyper_parameters, initial_hyper_parameters(K))
        self.add_parts(
            noise=noise, exposure=exposure, enhancer=enhancer, denoiser=denoiser, light=light
        )
        if self.pooled_features:
            self.finish_reads = {"L": light, "denoised": 3} | ({"share": 1} if self.careful else {})
        self.requires_training = requires_training(self)
        if light == 1 and count(self) == count(self.hyper):
            self.channels = None

    def _penalties_of(self, lagrangian: Lagrangian):
        noise_of_z = "noise_map" if _takes_map(lagrangian.regularizers.get("Z")) else "noise"
        return partial(
            _penalties,
            step_for=steps_for(lagrangian), strength=self.strength, noise_of_z=noise_of_z,
        )  # fmt: skip

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
        if self.quotient:
            state = state.replace("R", state["Z"].clamp_min(0) / state["L"])
        enhanced, denoised, features = self.recompose(
            state["L"], state["R"], known.noise, known.measurements.get("scene")
        )
        parts = {name: state[name] for name in ("I", "Z", "R", "L")}
        parts |= {"trust": state["T"]} if self.trusts else {}
        parts |= {"maps": state["W"]} if self.maps else {}
        parts |= {"enhanced": enhanced, "denoised": denoised}
        parts = {name: known.frame.crop(part) for name, part in parts.items()}
        restored = clip(parts["enhanced"] * parts["denoised"])
        parts |= {"kernel": state["H"], **self.measured_parts(known, features)}
        if self.careful and kernel is None and not self.training:
            exposed = known.frame.crop(known.x)
            parts["share"] = reblur_share(exposed, parts["kernel"], parts["residue"])
            restored = _kept_good(image, restored, parts["share"], parts)
        return Restoration(restored, parts, history, known.frame.origin)

    def finish(
        self,
        image: Tensor,
        parts: Mapping[str, Tensor],
        *,
        kernel: Tensor | None = None,
        measurements: Mapping[str, Tensor],
    ) -> Tensor:
        assert self.enhancer is not None
        enhanced, _ = self.enhancer(parts["L"], measurements["scene"])
        restored = clip(enhanced * parts["denoised"])
        if self.careful and kernel is None:
            restored = _kept_good(image, restored, parts["share"], measurements)
        return restored

    def start(self, known: Estimates) -> State:
        """The initial values: the photo and its Retinex split, or zeros."""
        x, logits = known.x, known.logits
        reflectance, light = retinex_split(x)
        light = light.expand(-1, self.illumination_channels, -1, -1)
        blocks = dict.fromkeys("IZ", x) | dict.fromkeys("PR", reflectance)
        blocks |= {"Q": light, "L": light}
        if self.zero:
            blocks = {name: torch.zeros_like(value) for name, value in blocks.items()}
        given = {"X": x, "Y": x, "H": known.kernel, **blocks}
        given |= {"noise": known.measurements["noise"], "noise_map": known.noise}
        if self.kernel_updates:
            given["H"] = given["K"] = known.kernel.expand(len(x), -1, -1, -1)
        if self.maps and logits is not None:
            given["W"] = logits.softmax(1)
        elif self.trusts:
            given["T"] = torch.ones_like(x[:, :1]) if logits is None else logits.sigmoid()
        return State(with_hyper_parameters(self.hyper, given))

    def explain(self) -> str:
        parts = ("estimator", "stages", "hyper", "enhancer", "denoiser")
        output = f"image = enhancer(L) ⊙ denoiser({'Z/L' if self.quotient else 'R'})"
        trust = "Impute: X ← T⊙Y + (1 − T)⊙(H⊗I), Y the photo, T the trust in the blur model\n"
        return describe(self, parts, self.order, trust * self.trusts + output)


def _kept_good(
    image: Tensor, restored: Tensor, share: Tensor, found: Mapping[str, Tensor]
) -> Tensor:
    kept = as_bright_as(image, restored)
    return clip(spliced(image, restored, kept, share, found))


def initial_hyper_parameters(K: int) -> Tensor:
    """``(2, K, 7)``: the levels decrease to that of the noise, and penalties are balanced."""
    rows = []
    for place in places(K):
        level = annealed(_FIRST_DEVIATION, place)
        light, ratio = (2 * math.log(_LIGHT_DEVIATION), 0.0), (math.log(_RATIO), 0.0)
        penalty = balanced(level)
        fit = penalty[0] + math.log(_FIT), penalty[1]
        rows.append([level, level, light, fit, ratio, ratio, penalty])
    return torch.tensor(rows).permute(2, 0, 1).contiguous()


def _takes_map(regularizer: Regularizer | None) -> bool:
    """Whether the weight of a prior may vary from pixel to pixel. If g is known it may not, so that
    the Lagrangian has a value."""
    if regularizer is None:
        return False
    prior = regularizer.prior
    return prior.accepts_map and type(prior).value is Prior.value


def _penalties(
    values: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    step_for: Mapping[str, Callable[[Tensor], Tensor]],
    strength: float,
    noise_of_z: str,
) -> dict[str, Tensor | float]:
    noise = state["noise"]
    channels = state["I"].shape[1] // state["L"].shape[1]  # number that share a light
    w2, w5 = values["log_w2"].exp(), values["log_w5"].exp()
    z = 0.0
    if "Z" in step_for:
        z = prior_step(values["log_z"], state[noise_of_z], step_for["Z"]) * (w2 + w5)
    p, q = (prior_step(values[f"log_{b.lower()}"], noise, step_for[b], LARGEST / 2) for b in "PQ")
    p, w3 = product_weights(p, w2, values["log_w3"].exp())
    q, w4 = product_weights(q, w2, values["log_w4"].exp(), channels)
    least = noise.square().clamp_max(LARGEST)  # (projections ignore their step)
    made = {"w1": 1 / strength, "w2": w2, "w3": w3, "w4": w4, "w5": w5,
            "z": z, "p": p, "q": q, "r": least * w3, "l": least * w4}  # fmt: skip
    if "K" in state:
        made["w6"] = _PULL / strength * state["I"].square().sum((1, 2, 3), keepdim=True)
        made["k"] = made["w6"]  # (a projection ignores its step)
    return made
