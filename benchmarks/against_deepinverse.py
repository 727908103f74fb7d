"""The examples in DeepInverse, where it has their methods: PSNR and seconds, in one run.

    python benchmarks/against_deepinverse.py [CASE ...]

Both minimize the same objective with total variation: unfold to a tolerance, DeepInverse for as
many iterations as bring it there, or until its PSNR no longer rises. The algorithm is ADMM with the
same penalty; for counts, whose likelihood has no usable prox in DeepInverse 0.5, the proximal
gradient method, with the step that gives the most. (`trained_against_deepinverse.py` compares
networks.)
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from deepinv.optim import L2, PoissonLikelihood, optim_builder
from deepinv.optim.prior import TVPrior
from deepinv.physics import BlurFFT, Downsampling, Inpainting, LinearPhysics
from skimage.data import astronaut, camera
from torch import Tensor

import unfold as uf
from unfold.degradation import motion_kernel

SIZE = 256
x, z = uf.blocks("x z")
y, k, m = uf.data("y k m")
w, rho = uf.penalties("w rho")


@dataclass
class Case:
    """A problem, and how each library solves it."""

    sharp: Tensor
    ours: Callable[[], Tensor]
    theirs: Callable[[], Tensor]


def deblurring() -> Case:
    sharp, kernel = photo(SIZE), motion_kernel(21)
    noisy = shaken(sharp, kernel, 0.01)
    L = uf.sq(uf.conv(k, x) - y) / 2 + 8e-4 * uf.tv(z) + uf.constraint(x - z, rho)
    physics = BlurFFT(img_size=sharp.shape[1:], filter=kernel)
    return Case(
        sharp,
        lambda: L.solve(y=noisy, k=kernel, rho=0.064, tolerance=2e-3)[z],
        lambda: admm(physics, noisy, 8e-4, 0.064, 30),
    )


def inpainting() -> Case:
    return masked((torch.rand(1, 1, SIZE, SIZE) > 0.6).float())


def demosaicking() -> Case:
    bayer = torch.zeros(1, 3, SIZE, SIZE)
    bayer[:, 0, ::2, ::2] = bayer[:, 1, ::2, 1::2] = bayer[:, 1, 1::2, ::2] = 1
    bayer[:, 2, 1::2, 1::2] = 1
    return masked(bayer)


def masked(mask: Tensor) -> Case:
    sharp = photo(SIZE)
    holes = mask * sharp
    L = uf.sq(m * x - y) / 2 + 2e-3 * uf.tv(z) + uf.constraint(x - z, rho)
    physics = Inpainting(img_size=sharp.shape[1:], mask=mask[0].expand(sharp.shape[1:]))
    return Case(
        sharp,
        lambda: L.solve(y=holes, m=mask, rho=0.05, tolerance=2e-3)[z],
        lambda: admm(physics, holes, 2e-3, 0.05, 150),
    )


def doubling() -> Case:
    sharp, kernel = photo(SIZE), box(3)
    small = uf.sq(uf.downsample(uf.conv(k, x), 2)).residual({"x": sharp, "k": kernel})
    L = uf.sq(uf.downsample(uf.conv(k, x), 2) - y) / 2
    L += 2e-3 * uf.tv(z) + uf.constraint(x - z, rho)
    physics = Downsampling(img_size=sharp.shape[1:], filter=kernel, factor=2, padding="circular")
    return Case(
        sharp,
        lambda: L.solve(y=small, k=kernel, rho=0.02, tolerance=2e-3)[z],
        lambda: admm(physics, small, 2e-3, 0.02, 30),
    )


def bands() -> Case:
    """16 channels, each a mixture of three colors."""
    sharp = torch.einsum("sc,bchw->bshw", torch.rand(16, 3).softmax(1), photo(128))
    kernel = motion_kernel(15)
    noisy = shaken(sharp, kernel, 0.01)
    L = uf.sq(uf.conv(k, x) - y) / 2 + 1.5e-3 * uf.tv(z) + uf.constraint(x - z, rho)
    physics = BlurFFT(img_size=sharp.shape[1:], filter=kernel)
    return Case(
        sharp,
        lambda: L.solve(y=noisy, k=kernel, rho=0.04, tolerance=2e-3)[z],
        lambda: admm(physics, noisy, 1.5e-3, 0.04, 30),
    )


def batch() -> Case:
    """Four photos, each with a kernel and a noise level; DeepInverse has one weight for a batch."""
    sharp = photo(128).repeat(4, 1, 1, 1)
    kernels = torch.cat([motion_kernel(15) for _ in sharp])
    noise = torch.tensor([0.005, 0.01, 0.015, 0.02]).view(4, 1, 1, 1)
    noisy = shaken(sharp, kernels, noise)
    L = uf.sq(uf.conv(k, x) - y) / 2 + w * uf.tv(z) + uf.constraint(x - z, rho)

    def theirs() -> Tensor:
        made = []
        for one, kernel, s in zip(noisy.split(1), kernels.split(1), noise.flatten(), strict=True):
            physics = BlurFFT(img_size=one.shape[1:], filter=kernel)
            made.append(admm(physics, one, 0.15 * s.item(), 4 * s.item(), 30))
        return torch.cat(made)

    return Case(
        sharp,
        lambda: L.solve(y=noisy, k=kernels, w=0.15 * noise, rho=4 * noise, tolerance=2e-3)[z],
        theirs,
    )


def counting() -> Case:
    """At most 150 photons in a pixel (PIDAL)."""
    sharp, kernel = torch.from_numpy(camera()[100:356:2, 120:376:2])[None, None] / 255, box(5)
    counts = torch.poisson(shaken(150 * sharp, kernel, 0).clamp_min(0))
    L = uf.poisson(uf.conv(k, x), y) + 0.02 * uf.tv(x) + uf.box(x, 0.01, float("inf"))
    physics = BlurFFT(img_size=sharp.shape[1:], filter=kernel)

    def theirs() -> Tensor:
        model = optim_builder(
            iteration="PGD", prior=TVPrior(n_it_max=20), early_stop=False, max_iter=600,
            data_fidelity=PoissonLikelihood(bkg=0.01, denormalize=False),
            params_algo={"stepsize": 5.0, "lambda": 0.02},
        )  # fmt: skip
        return model(counts, physics) / 150

    return Case(
        sharp,
        lambda: L.split(rho).solve(y=counts, k=kernel, rho=0.05, start={x: y})[x] / 150,
        theirs,
    )


CASES = (deblurring, inpainting, demosaicking, doubling, bands, batch, counting)


def admm(
    physics: LinearPhysics, observed: Tensor, weight: float, penalty: float, rounds: int
) -> Tensor:
    """DeepInverse's minimizer of ``½ ‖A x − y‖² + weight · TV(x)``."""
    model = optim_builder(
        iteration="ADMM", prior=TVPrior(n_it_max=20), data_fidelity=L2(), early_stop=False,
        max_iter=rounds, params_algo={"stepsize": 1 / penalty, "lambda": weight, "beta": 1.0},
    )  # fmt: skip
    return model(observed, physics)


def photo(size: int) -> Tensor:
    column = 100 if size == SIZE else 160
    pixels = astronaut()[:size, column : column + size]
    return torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255


def box(size: int) -> Tensor:
    return torch.full((1, 1, size, size), size**-2)


def shaken(sharp: Tensor, kernel: Tensor, noise: float | Tensor) -> Tensor:
    blurred = uf.sq(uf.conv(k, x)).residual({"x": sharp, "k": kernel})
    return blurred + noise * torch.randn_like(blurred)


@torch.no_grad()
def main(*names: str) -> None:
    for make in CASES:
        if names and make.__name__ not in names:
            continue
        torch.manual_seed(0)
        case = make()
        for library, run in (("unfold", case.ours), ("DeepInverse", case.theirs)):
            run()
            begin = time.perf_counter()
            error = (run().clamp(0, 1) - case.sharp).square().mean((1, 2, 3))
            seconds = time.perf_counter() - begin
            decibels = -10 * error.log10().mean().item()
            print(f"{make.__name__:<14}{library:<12}{decibels:6.2f} dB  {seconds:.2f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
