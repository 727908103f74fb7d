"""Stages: derived updates compared with hand-written ones, and the cost of recomputation."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

import unfold.formula as uf
from unfold.core import Prior, Stage, State, Unrolled, lower
from unfold.estimators.blind_stages import latent_stages
from unfold.estimators.illumination import DARKEST
from unfold.models.jude import PAPER_ORDER, jude_objective
from unfold.priors import ResUNet, SoftThreshold
from unfold.terms import differences

from .case import Case, PairedRun, Size
from .sample import kernels, photo
from .yardstick import TRANSFORMS, transforms

ROUNDS = 5
WEIGHTS = {"w1": 1.0, "w2": 0.5, "w3": 0.1, "w4": 0.1, "w5": 0.1}
_WIDTHS = (16, 32, 64)


def stage_cases(size: Size) -> Iterator[Case]:
    """The five stages of JUDE with a network as prior, and with a trivial prior, which shows the
    overhead; their gradient with recomputed stages; and the image's part of one alternation of
    blind estimation."""
    priors = {"resunet": partial(ResUNet, widths=_WIDTHS), "soft-threshold": SoftThreshold}
    for name, make in priors.items():
        prepare = partial(_declared, make, size)
        yield Case("stages", f"{ROUNDS} stages, {name}", size, prepare)
    yield Case(
        "stages", f"gradient of {ROUNDS} stages, recomputed", size, partial(gradient, size, ROUNDS)
    )
    yield Case("stages", "blind, image of a level", size, partial(_latent, size))


def _latent(size: Size, device: torch.device) -> PairedRun:
    """The stages of the image at one level of `BlindKernel`, and their transforms alone."""
    stages, image = latent_stages(), photo(size, device)[:, :1]
    blocks = {"X": image, "I": image, "G": differences(image), "H": kernels(1, 31, device)}
    state = State({**blocks, "λ": image.new_full((1, 1, 1, 1), 4e-3)})
    bare, count = transforms(image), len(stages.stages)

    def repeated() -> None:
        for _ in range(count):
            bare()

    return PairedRun(partial(stages, state), repeated, f"{TRANSFORMS}, in each of {count} stages")


def _declared(make, size: Size, device: torch.device) -> PairedRun:
    priors = [make().to(device).eval() for _ in range(3)]
    net, state = tied(priors), start(size, device)
    by = partial(by_hand, state["X"], state["H"], priors, WEIGHTS, ROUNDS)
    return PairedRun(partial(net, state), by, "the same arithmetic by hand")


def gradient(size: Size, rounds: int, device: torch.device) -> PairedRun:
    """The gradient of untied stages, with and without recomputation."""
    net = Unrolled([_stage([ResUNet(widths=_WIDTHS) for _ in "PQZ"]) for _ in range(rounds)])
    net, state = net.to(device), start(size, device)
    learned = tuple(net.parameters())

    def run(recompute: bool) -> None:
        net.recompute = recompute
        with torch.inference_mode(False), torch.enable_grad():
            torch.autograd.grad(net(state)["I"].square().mean(), learned)

    return PairedRun(partial(run, True), partial(run, False), "without recomputing")


def tied(priors: list[Prior], rounds: int = ROUNDS) -> Unrolled:
    """The stages of JUDE in the order of the paper, with given priors on P, Q and Z."""
    return Unrolled(_stage(priors), repeat=rounds)


def _stage(priors: list[Prior]) -> Stage:
    P, Q, Z, R, L = uf.blocks("P Q Z R L")
    believed = [prior(block) for block, prior in zip((P, Q, Z), priors, strict=True)]
    objective = jude_objective(*believed, uf.box(R, high=math.inf), uf.box(L, low=DARKEST))
    return Stage(lower(objective.lagrangian, PAPER_ORDER), WEIGHTS)


def start(size: Size, device: torch.device) -> State:
    """A state in which every block is the photo."""
    return State({**dict.fromkeys("XIZPRQL", photo(size, device)), "H": kernels(1, 31, device)})


def by_hand(
    x: Tensor, kernel: Tensor, prox: list[Prior], penalties: dict[str, float], rounds: int
) -> Tensor:
    """The stages of JUDE, written by hand from the known updates; returns the last I."""
    w1, w2, w3, w4, w5 = penalties.values()
    z = p = r = q = l = i = x
    g = o = d = torch.zeros_like(x)
    h, size = kernel.shape[-1], x.shape[-2:]
    placed = x.new_zeros(1, 1, *size)
    placed[..., :h, :h] = kernel
    otf = torch.fft.rfft2(placed.roll((-(h // 2), -(h // 2)), (-2, -1)))
    power = otf.real.square() + otf.imag.square()
    data = otf.conj() * torch.fft.rfft2(x)
    for _ in range(rounds):
        divisor = w2 * q.square() + w3
        p = prox[0]((w2 * z * q + w3 * r + g) / divisor, 1 / divisor)
        r = (p - g / w3).clamp_min(0)
        divisor = w2 * p.square() + w4
        q = prox[1]((w2 * z * p + w4 * l + o) / divisor, 1 / divisor)
        l = (q - o / w4).clamp(DARKEST, 1)
        flat = w2 + w5
        z = prox[2]((w2 * p * q + w5 * i + d) / flat, x.new_full((1, 1, 1, 1), 1 / flat))
        top = w1 * data + torch.fft.rfft2(w5 * z - d)
        i = torch.fft.irfft2(top / (w1 * power + w5), s=size)
        g = g + w3 * (r - p)
        o = o + w4 * (l - q)
        d = d + w5 * (i - z)
    return i
