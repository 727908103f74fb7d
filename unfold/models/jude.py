"""JUDE: joint motion deblurring and low-light enhancement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from unfold.core import (
    Constraint,
    Equal,
    Lagrangian,
    Ledger,
    Prior,
    Quadratic,
    Regularizer,
    Restoration,
    State,
)
from unfold.core.lagrangian import Weights
from unfold.estimators import IlluminationEnhancer, KernelEstimator, ReflectanceDenoiser
from unfold.estimators.exposure import ExposureEstimator, expose
from unfold.estimators.illumination import retinex_split
from unfold.registry.spec import PriorLike, factory
from unfold.terms import Convolution, Retinex

from .assembly import Extending, describe, unroll

PAPER_ORDER = ("P", "R", "Q", "L", "Z", "I", "G", "O", "D")
# The image is made of the last R and L. In the paper's order these see the Z of the stage before,
# and that the I of the stage before it: the last two deconvolutions and the last prior on Z are
# computed for nothing. Updated in this order, every update of every stage reaches the image.
ORDER = ("I", "Z", "P", "R", "Q", "L", "G", "O", "D")
WEIGHTS = {"w1": 1.0, "w2": 0.5, "w3": 0.1, "w4": 0.1, "w5": 0.1}


def jude_lagrangian(*regularizers: Regularizer) -> Lagrangian:
    """JUDE's Lagrangian (paper eq. 4, with its misprints mended)::

        min w1/2 ‖H⊗I − X‖² + w2/2 ‖Z − P⊙Q‖² + g_Z(Z) + g_P(P) + g_Q(Q)
        subject to R = P (dual G), L = Q (O), I = Z (D)

    X the blurred, dark input, H its kernel, I the sharp, dark image, R reflectance, L
    illumination; P, Q, Z their auxiliaries. The paper's Γ, Ω, Δ are G, O, D; its λ1...λ5 are
    w1...w5. R and L occur in their own constraints only: from zero duals R ≡ P and L ≡ Q, and
    only D is alive. The paper's structure is kept all the same.

    Args:
        regularizers: on P, Q and Z.
    """
    return Lagrangian(
        Quadratic(Convolution("I", kernel="H", observed="X"), "w1"),
        Quadratic(Retinex("Z", reflectance="P", illumination="Q"), "w2"),
        Constraint(Equal("R", "P"), penalty="w3", dual="G"),
        Constraint(Equal("L", "Q"), penalty="w4", dual="O"),
        Constraint(Equal("I", "Z"), penalty="w5", dual="D"),
        *regularizers,
    )


class Impute:
    """``X ← T ⊙ Y + (1 − T) ⊙ (H ⊗ I)``: where the blur model is not trusted, believe the estimate.

    Y is the photo, T in [0, 1] the trust in each pixel (saturated lights, say, are no
    convolution). Minimising the next data term majorises ``w1/2 ‖√T ⊙ (H⊗I − Y)‖²``: the
    weighted fit descends, and I keeps its exact division by FFT.
    """

    _blur = Convolution("I", kernel="H", observed="X")

    def __call__(self, state: Mapping[str, Tensor], weights: Weights) -> State:
        state = State(state)
        misfit = self._blur(state.replace("X", state["Y"]))
        return state.replace("X", state["Y"] + (1 - state["T"]) * misfit)

    def __repr__(self) -> str:
        return "Impute('X')"


class JUDE(Extending):
    """JUDE: K unrolled stages between a kernel estimate and an illumination enhancer.

    The paper's default: K = 5 untied stages, a learned prior each on P, Q and Z, 31×31 kernels,
    35.4 million parameters. It starts at I = Z = X and a Retinex split of X, duals at zero.

    Args:
        K: stages.
        prior: of P, Q and Z: an installed prior by name or spec, or a function of the number of
            channels that builds one. The paper's ablation is ``prior="ircnn", denoiser=False``.
        tied: whether all stages share their parameters.
        denoiser: whether the reflectance is denoised at the end (the paper's ablation: False).
        kernel_size: side of the estimated kernel, in pixels.
        illumination_channels: 1, or 3 for coloured light.
        order: of the updates. ``"paper"`` is P, R, Q, L, Z, I; its last two I and last Z never
            reach the image. ``"data-first"`` is I, Z, P, R, Q, L, where all do.
        enhancer_widths: of the illumination enhancer.
        enhancer_pooled: whether it sees the whole photo (see `IlluminationEnhancer`).
        exposed: whether a dark photo is brought to full exposure first, as far as its histogram
            tells (see `ExposureEstimator`); what is learned is then what that leaves. All parts
            but the kernel are of that exposure.
        denoiser_width: of the reflectance denoiser.
        estimator_widths: of the kernel estimator.

    Parts: ``kernel`` (B,1,h,w), ``trust`` (B,1,H,W): the estimator's weight map, see `Impute`;
    ``I``, ``Z`` (sharp, dark), ``R``, ``L``, and ``enhanced`` (the enhanced illumination) and
    ``denoised`` (the denoised reflectance), whose product is the image. Where the enhancer is
    pooled also ``scene`` (B,C,h,w): its features at the coarsest level.

    Source: the JUDE paper and supplement, with the misprints mended.
    """

    def __init__(
        self,
        *,
        K: Annotated[int, Field(ge=1)] = 5,
        prior: PriorLike = "resunet",
        tied: bool = False,
        denoiser: bool = True,
        kernel_size: Annotated[int, Field(ge=3)] = 31,
        illumination_channels: Literal[1, 3] = 3,
        order: Literal["data-first", "paper"] = "data-first",
        enhancer_widths: tuple[int, ...] = (32, 64, 128),
        enhancer_pooled: bool = False,
        exposed: bool = False,
        denoiser_width: Annotated[int, Field(ge=1)] = 64,
        estimator_widths: tuple[int, ...] = (16, 32, 64, 128, 256),
    ) -> None:
        super().__init__()
        make: Callable[[int], Prior] = factory("priors", prior)
        light = self.illumination_channels = illumination_channels

        self.order = ORDER if order == "data-first" else PAPER_ORDER

        def declare(stage: int) -> Lagrangian:
            return jude_lagrangian(
                Regularizer("P", make(3)), Regularizer("Q", make(light)), Regularizer("Z", make(3))
            )

        self.estimator = KernelEstimator(size=kernel_size, widths=estimator_widths)
        # Sigmoid of 4: trust everything, nearly, until trained otherwise.
        nn.init.constant_(self.estimator.to_logits.bias, 4.0)  # type: ignore[arg-type]
        self.stages = unroll(declare, self.order, WEIGHTS, K=K, tied=tied, before={"I": Impute()})
        self.enhancer = IlluminationEnhancer(light, widths=enhancer_widths, pooled=enhancer_pooled)
        self.denoiser = ReflectanceDenoiser(width=denoiser_width) if denoiser else nn.Identity()
        self.exposure = ExposureEstimator() if exposed else None
        self.means = ("scene",) if enhancer_pooled else ()

    def forward(
        self,
        image: Tensor,
        *,
        kernel: Tensor | None = None,
        ledger: Ledger | None = None,
        guide: Mapping[str, Tensor] | None = None,
    ) -> Restoration:
        guide = guide or {}
        x, frame = self.prepare(image, kernel)
        if self.exposure is not None:
            known = "gain" in guide
            gain, curve = (guide["gain"], guide["curve"]) if known else self.exposure(image)
            x = expose(x, gain, curve)
        estimated, logits = self.estimator(x)
        if "kernel" in guide:
            estimated = guide["kernel"]
        used = estimated if kernel is None else kernel.to(x)
        state = self.stages(self.start(x, used, logits.sigmoid()), ledger)
        enhanced, scene = self.enhancer.enhance(state["L"], guide.get("scene"))
        denoised = self.denoiser(state["R"])
        parts = {name: state[name] for name in ("I", "Z", "R", "L")}
        parts |= {"trust": state["T"], "enhanced": enhanced, "denoised": denoised}
        parts = {name: frame.crop(part) for name, part in parts.items()}
        restored = (parts["enhanced"] * parts["denoised"]).clamp(0, 1)
        if self.means:
            parts["scene"] = frame.coarser(x.shape[-2] // scene.shape[-2]).crop(scene)
        return Restoration(restored, {"kernel": used, **parts}, ledger)

    def survey(self, image: Tensor, *, kernel: Tensor | None = None) -> Mapping[str, Tensor]:
        light: dict[str, Tensor] = {}
        if self.exposure is not None:
            light["gain"], light["curve"] = self.exposure(image)
        if kernel is not None:
            return light
        x, _ = self.extended(image)
        return {"kernel": self.estimator.survey(expose(x, **light) if light else x), **light}

    @property
    def kernel_size(self) -> int:
        return self.estimator.size

    def start(self, x: Tensor, kernel: Tensor, trust: Tensor) -> State:
        """Where the optimisation starts: at the photo and its Retinex split."""
        reflectance, light = retinex_split(x)
        light = light.expand(-1, self.illumination_channels, -1, -1)
        blocks = dict.fromkeys("XYIZ", x) | dict.fromkeys("PR", reflectance)
        return State({**blocks, "Q": light, "L": light, "H": kernel, "T": trust})

    def explain(self) -> str:
        parts = ("estimator", "stages", "enhancer", "denoiser")
        output = "image = enhancer(L) ⊙ denoiser(R)"
        trust = "Impute: X ← T⊙Y + (1 − T)⊙(H⊗I), Y the photo, T the trust in the blur model"
        return describe(self, parts, self.order, f"{trust}\n{output}")
