"""A model whose Lagrangian is data in a TOML or JSON file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from unfold.core import CG, Constraint, History, Lagrangian, Quadratic, Regularizer, State
from unfold.core.clip import clip
from unfold.core.lagrangian import Term
from unfold.estimators.illumination import DARKEST, retinex_split
from unfold.restorer import Restoration

from .assembly import describe, requires_training, unroll
from .consistency import Problem, errors
from .declaration import (
    AnyPenalty,
    AnyStart,
    AnyTerm,
    ConstraintTerm,
    Output,
    ProductOutput,
    QuadraticTerm,
    Source,
    Start,
)
from .declared_penalties import DeclaredPenalties, level_weight, levels, stage_hyper_parameters
from .estimating import Estimates, Estimating
from .parts import (
    HYPER,
    EstimatorLike,
    NoiseLike,
    OptionalEstimator,
    make_kernel_estimator,
    with_hyper_parameters,
)

# A stage changes a block little: a few warm-started iterations suffice, and a fixed number of them
# never waits for the device.
_CG = CG(maximum=4, tolerance=None)


class Declared(Estimating):
    """A restorer whose Lagrangian, order, penalties, starts and output are options.

    Problem::

        min Σ w/2 ‖r_i‖² + Σ λ_b g_b(x_b)   subject to   r_j = 0

    with any installed terms ``r`` and priors ``g``. Each stage updates every block and dual once,
    in the given order (see `unfold.core.lower`).

    Args:
        terms: tables, each with one of three keys. ``quadratic``: a residual as a formula, such as
            ``"conv(H, I) - X"`` (see `unfold.formula.text.expression`), or an installed term by
            ``kind``, with its blocks and entries under the names of its constructor's parameters;
            and its ``weight``, by default 1. ``constraint``: likewise, with its ``penalty`` and the
            name of its ``dual``. ``prior``: a prior, its ``block``, and the noise ``level`` that it
            removes (see `unfold.models.declaration.Level`) or its ``weight``.
        order: order of the updates: every block and every dual.
        start: block -> ``"photo"``, ``"reflectance"`` or ``"light"`` (of the photo's Retinex
            split), ``"zero"`` or ``"one"``; or a table with ``value`` and ``channels``.
        data: fixed entry -> ``"photo"``, ``"kernel"``, ``"maps"`` (of several kernels; they sum to
            one) or ``"trust"`` (in the blur model, from 0 to 1).
        output: a block; or a table with ``light`` and ``reflectance``, whose image is
            ``enhancer(light) ⊙ denoiser(reflectance)``. The reflectance may be a quotient,
            ``"Z/L"``.
        penalties: name -> a number or a table (see `unfold.models.declaration.Weight`).
        stages: number of stages.
        tied: whether all stages share their priors.
        kernel_estimator: estimates the kernel if none is given; the default assumes no blur.
        num_kernels: number of estimated kernels; several kernels need maps.
        exposure: estimates the gain that brings a dark photo to full exposure; None: no gain.
        noise: standard deviation of the photo's noise, or its estimator.
        enhancer, denoiser: for the illumination and the reflectance of the output.
        hyper_parameters: estimator of the penalties and levels that are ``learned``.

    Shapes: photos ``(B, 3, H, W)`` in [0, 1], kernels ``(1 or B, 1, h, w)``; blocks have the
    photo's size and 3 channels or 1.

    Parts: every block; ``kernel``; ``maps`` or ``trust``; ``noise``; ``gain`` and ``curve`` with an
    exposure estimator; ``enhanced`` and ``denoised`` if the output is a product, and ``scene`` if
    the enhancer is pooled.

    Raises:
        ComponentError: (from `unfold.create_model` and the commands) if options are
            invalid or inconsistent; it lists each with its path.

    Example::

        >>> import torch, unfold
        >>> model = unfold.create_model(
        ...     "declared", order=["Z"], output="Z", data={"X": "photo"}, start={"Z": "photo"},
        ...     terms=[{"quadratic": "Z - X"}, {"prior": "total-variation", "block": "Z"}],
        ... )
        >>> model(torch.rand(1, 3, 8, 8)).image.shape
        torch.Size([1, 3, 8, 8])
    """

    def __init__(
        self,
        *,
        terms: tuple[AnyTerm, ...],
        order: tuple[str, ...],
        start: dict[str, AnyStart],
        output: Output,
        data: dict[str, Source] = {},  # noqa: B006
        penalties: dict[str, AnyPenalty] = {},  # noqa: B006
        stages: Annotated[int, Field(ge=1, le=1000)] = 8,
        tied: bool = True,
        kernel_estimator: EstimatorLike = "point",
        num_kernels: Annotated[int, Field(ge=1, le=64)] = 1,
        exposure: OptionalEstimator = None,
        noise: NoiseLike = "noise",
        enhancer: OptionalEstimator = None,
        denoiser: OptionalEstimator = None,
        hyper_parameters: EstimatorLike = "noise-powers",
    ) -> None:
        super().__init__()
        self.terms, self.order, self.penalties = terms, order, penalties
        self.data, self.starts, self.output = data, start, output
        self.num_kernels = num_kernels
        trust = "trust" in data.values()
        num_maps = num_kernels if "maps" in data.values() else int(trust)
        self.uses_maps = num_maps > 0
        self.estimator = make_kernel_estimator(kernel_estimator, num_kernels, num_maps, trust=trust)
        names, self.hyper = stage_hyper_parameters(terms, penalties, stages, hyper_parameters)
        self.stages = unroll(
            lambda stage: Lagrangian(*_terms(terms, start)),
            order,
            lambda lagrangian: DeclaredPenalties(lagrangian, penalties),
            names,
            K=stages,
            tied=tied,
            cg=_CG,
        )
        light = start[output.light].size if isinstance(output, ProductOutput) else 0
        self.add_parts(
            noise=noise, exposure=exposure, enhancer=enhancer, denoiser=denoiser, light=light
        )
        self.requires_training = requires_training(self)

    @staticmethod
    def option_errors(options: Any) -> list[Problem]:
        """The inconsistencies between options that are valid one by one."""
        return errors(options)

    def forward(
        self,
        image: Tensor,
        *,
        kernel: Tensor | None = None,
        history: History | None = None,
        measurements: Mapping[str, Tensor] | None = None,
    ) -> Restoration:
        known = self.estimate(image, kernel, measurements)
        used = known.kernel.expand(-1, self.num_kernels, -1, -1)
        given = self.given(known.x, used, known.logits)
        entries = {"noise": known.measurements["noise"], "H": used}
        hyper = with_hyper_parameters(self.hyper, entries)[HYPER]
        start = {**given, **self.start(known.x), "noise": entries["noise"], HYPER: hyper}
        state = self.stages(State(start), history)
        parts = {name: state[name] for name in self.starts}
        for name, source in self.data.items():
            if source in ("maps", "trust"):
                parts["maps" if source == "maps" else "trust"] = given[name]
        parts, image = self._finish(parts, state, known)
        return Restoration(image, {"kernel": used, **parts}, history, known.frame.origin)

    def given(self, x: Tensor, kernel: Tensor, logits: Tensor | None) -> dict[str, Tensor]:
        """The fixed entries: the photo, its kernel, and the maps of the kernel estimator."""
        trust = torch.ones_like(x[:, :1]) if logits is None else logits.sigmoid()
        maps = _maps(logits, self.num_kernels, x)
        sources = {"photo": x, "kernel": kernel, "maps": maps, "trust": trust}
        return {name: sources[source] for name, source in self.data.items()}

    def start(self, x: Tensor) -> dict[str, Tensor]:
        """The first value of every block."""
        reflectance, light = retinex_split(x)
        values = {
            "photo": x, "reflectance": reflectance, "light": light,
            "zero": torch.zeros_like(light), "one": torch.ones_like(light),
        }  # fmt: skip
        return {
            name: values[start.value].expand(-1, start.size, -1, -1)
            for name, start in self.starts.items()
        }

    def _finish(
        self, parts: dict[str, Tensor], state: Mapping[str, Tensor], known: Estimates
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The parts and the image, cropped to the photo."""
        features = None
        if isinstance(self.output, ProductOutput):
            # (Divisors are kept positive, even if the declaration does not ensure it.)
            light = state[self.output.light].clamp_min(DARKEST)
            first, *rest = (state[name] for name in self.output.names)
            reflectance = first.clamp_min(0) / rest[0].clamp_min(DARKEST) if rest else first
            scene = known.measurements.get("scene")
            made = self.recompose(light, reflectance, known.noise, scene)
            parts["enhanced"], parts["denoised"], features = made
        parts = {name: known.frame.crop(part) for name, part in parts.items()}
        if isinstance(self.output, ProductOutput):
            image = parts["enhanced"] * parts["denoised"]
        else:
            image = parts[self.output]
        parts |= self.measured_parts(known, features)
        return parts, clip(image.expand(-1, 3, -1, -1))

    def explain(self) -> str:
        parts = ("estimator", "stages", "hyper", "enhancer", "denoiser")
        return describe(self, parts, self.order, "\n".join(self._notes()))

    def _notes(self) -> Iterator[str]:
        """Descriptions of data, starts, penalties, levels and output."""
        yield "data: " + ", ".join(f"{n} = {source}" for n, source in self.data.items())
        yield "start: " + ", ".join(f"{n} = {s.value}" for n, s in self.starts.items())
        for name, weight in self.penalties.items():
            yield f"weight {name}: {weight}"
        for block, level in levels(self.terms).items():
            yield f"noise level of the prior on {block}, {level_weight(block)}/d: {level}"
        if isinstance(self.output, ProductOutput):
            light, reflectance = self.output.light, self.output.reflectance
            enhanced = light if self.enhancer is None else f"enhancer({light})"
            denoised = reflectance if self.denoiser is None else f"denoiser({reflectance})"
            yield f"image = {enhanced} ⊙ {denoised}"
        else:
            yield f"image = {self.output}"


def _terms(terms: tuple[AnyTerm, ...], start: Mapping[str, Start]) -> Iterator[Term]:
    """The terms of one stage, with new priors."""
    for term in terms:
        if isinstance(term, QuadraticTerm):
            yield Quadratic(term.quadratic.build(), term.weight)
        elif isinstance(term, ConstraintTerm):
            yield Constraint(term.constraint.build(), term.penalty, term.dual)
        else:
            weight = level_weight(term.block) if term.weight is None else term.weight
            yield Regularizer(term.block, term.prior.build(start[term.block].size), weight)


def _maps(logits: Tensor | None, num_kernels: int, like: Tensor) -> Tensor:
    if logits is not None:
        return logits.softmax(1)
    return torch.full_like(like[:, :1], 1 / num_kernels).expand(-1, num_kernels, -1, -1)
