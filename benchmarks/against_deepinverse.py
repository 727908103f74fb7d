"""Four of the examples in DeepInverse: PSNR and seconds of the same objective, in one run.

    python benchmarks/against_deepinverse.py

Both minimize ``½ ‖A x − y‖² + λ TV(x)`` by ADMM with the same penalty: unfold to a tolerance,
DeepInverse for as many iterations as bring it there. Then both train the same small network as the
prior of an equilibrium of half-quadratic splitting, from the same start on the same crops, to the
same tolerance; seconds are of the training, memory is the peak of one step. Unrolled rounds are
there to compare.
"""

import time
from collections.abc import Callable
from itertools import pairwise

import torch
from deepinv.optim import HQS, L2, DEQConfig, PnP, optim_builder
from deepinv.optim.prior import TVPrior
from deepinv.physics import BlurFFT, Downsampling, Inpainting, LinearPhysics
from skimage.data import astronaut, coffee
from torch import nn
from torch.nn.functional import avg_pool2d

import unfold as uf
from unfold.benchmarking import peak_memory
from unfold.core import Prior
from unfold.degradation import motion_kernel

SIZE, CROP, STEPS, RHO = 256, 64, 60, 0.05


def main() -> None:
    torch.manual_seed(0)
    sharp = torch.from_numpy(astronaut()[:SIZE, 100 : 100 + SIZE]).permute(2, 0, 1)[None] / 255
    kernel, mask = motion_kernel(21), (torch.rand(1, 1, SIZE, SIZE) > 0.6).float()
    x, z = uf.blocks("x z")
    y, k, m = uf.data("y k m")
    deblurring = uf.sq(uf.conv(k, x) - y) / 2 + 8e-4 * uf.tv(z) + uf.constraint(x - z, "rho")
    inpainting = uf.sq(m * x - y) / 2 + 2e-3 * uf.tv(z) + uf.constraint(x - z, "rho")
    blurred = uf.sq(uf.conv(k, x)).residual({"x": sharp, "k": kernel})
    noisy = blurred + 0.01 * torch.randn_like(blurred)
    holes = mask * sharp
    bayer = torch.zeros(1, 3, SIZE, SIZE)
    bayer[:, 0, ::2, ::2] = bayer[:, 1, ::2, 1::2] = bayer[:, 1, 1::2, ::2] = 1
    bayer[:, 2, 1::2, 1::2] = 1
    box = torch.full((1, 1, 3, 3), 1 / 9)
    doubling = uf.sq(uf.downsample(uf.conv(k, x), 2) - y) / 2
    small = uf.sq(uf.downsample(uf.conv(k, x), 2)).residual({"x": sharp, "k": box})
    doubling += 2e-3 * uf.tv(z) + uf.constraint(x - z, "rho")
    shape = (3, SIZE, SIZE)

    def ours(objective: uf.Objective, **values: torch.Tensor | float) -> Callable:
        return lambda: objective.solve(tolerance=2e-3, **values)[z]

    def theirs(
        physics: LinearPhysics, observed: torch.Tensor, weight: float, rho: float, rounds: int
    ) -> Callable:
        model = optim_builder(
            iteration="ADMM", prior=TVPrior(n_it_max=20), data_fidelity=L2(), early_stop=False,
            max_iter=rounds, params_algo={"stepsize": 1 / rho, "lambda": weight, "beta": 1.0},
        )  # fmt: skip
        return lambda: model(observed, physics)

    cases = {
        "deblurring": (
            ours(deblurring, y=noisy, k=kernel, rho=0.064),
            theirs(BlurFFT(img_size=shape, filter=kernel), noisy, 8e-4, 0.064, 30),
        ),
        "inpainting": (
            ours(inpainting, y=holes, m=mask, rho=0.05),
            theirs(Inpainting(img_size=shape, mask=mask[0].expand(shape)), holes, 2e-3, 0.05, 150),
        ),
        "demosaicking": (
            ours(inpainting, y=bayer * sharp, m=bayer, rho=0.05),
            theirs(Inpainting(img_size=shape, mask=bayer[0]), bayer * sharp, 2e-3, 0.05, 150),
        ),
        "doubling": (
            ours(doubling, y=small, k=box, rho=0.02),
            theirs(
                Downsampling(img_size=shape, filter=box, factor=2, padding="circular"),
                small,
                2e-3,
                0.02,
                30,
            ),
        ),
    }
    for name, pair in cases.items():
        for library, run in zip(("unfold", "DeepInverse"), pair, strict=True):
            with torch.no_grad():
                run()
                begin = time.perf_counter()
                error = (run().clamp(0, 1) - sharp).square().mean()
                seconds = time.perf_counter() - begin
            print(f"{name:<14}{library:<12}{-10 * error.log10().item():6.2f} dB  {seconds:.2f} s")
    equilibria(noisy, kernel, sharp)


class Denoiser(nn.Module):
    """``0.8 v + 0.2 mean(v) + net(v)``, the mean of 3×3 pixels: it contracts high frequencies."""

    def __init__(self) -> None:
        super().__init__()
        pairs = pairwise((3, 24, 24, 3))
        layers = [nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairs]
        nn.init.zeros_(layers[-1].weight)
        self.net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])

    def forward(self, v: torch.Tensor, *_) -> torch.Tensor:
        return 0.8 * v + 0.2 * avg_pool2d(v, 3, 1, 1, count_include_pad=False) + self.net(v)


class Learned(Prior):
    """The denoiser as a prior of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.denoiser = Denoiser()

    def prox(self, v: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        return self.denoiser(v)


def equilibria(blurred: torch.Tensor, kernel: torch.Tensor, sharp: torch.Tensor) -> None:
    """Train, and restore a photo, by both libraries."""
    x, z = uf.blocks("x z")
    y, k, rho = *uf.data("y k"), uf.penalties("rho")

    def ours(make: Callable) -> nn.Module:
        objective = uf.sq(uf.conv(k, x) - y) / 2 + rho / 2 * uf.sq(x - z) + Learned()(z)
        network = make(objective, output=z, start=y, penalties={"rho": RHO})
        network.stages.stages[0].penalties.requires_grad_(False)
        return network

    def theirs() -> nn.Module:
        # (Its Anderson acceleration adds 1e-4 to Gram matrices however small: it takes longer.)
        return HQS(
            data_fidelity=L2(), prior=PnP(Denoiser()), stepsize=1 / RHO, g_param=0.0,
            max_iter=200, early_stop=True, thres_conv=1e-4, DEQ=DEQConfig(), trainable_params=[],
        )  # fmt: skip

    def call(network: nn.Module, observed: torch.Tensor) -> torch.Tensor:
        if isinstance(network, HQS):
            return network(observed, BlurFFT(img_size=observed.shape[1:], filter=kernel))
        return network(y=observed, k=kernel)

    cases = {
        "unfold": lambda: ours(uf.Objective.equilibrium),
        "DeepInverse": theirs,
        "30 rounds": lambda: ours(lambda objective, **more: objective.unroll(30, **more)),
    }
    photo = torch.from_numpy(coffee()).permute(2, 0, 1)[None] / 255
    for name, make in cases.items():
        torch.manual_seed(0)
        network = make()
        # (At 2e-3 the prior ceases to contract after 56 steps, and unfold refuses to go on.)
        optimizer = torch.optim.Adam(network.parameters(), 1e-3)

        def step(network=network, optimizer=optimizer) -> None:
            row, column = (int(torch.randint(n - CROP + 1, ())) for n in photo.shape[2:])
            crop = photo[..., row : row + CROP, column : column + CROP]
            given = uf.sq(uf.conv(k, x)).residual({"x": crop, "k": kernel})
            optimizer.zero_grad()
            restored = call(network, given + 0.01 * torch.randn_like(given))
            (restored - crop).abs().mean().backward()
            optimizer.step()

        begin = time.perf_counter()
        for _ in range(STEPS):
            step()
        seconds = time.perf_counter() - begin
        with torch.no_grad():
            error = (call(network, blurred).clamp(0, 1) - sharp).square().mean()
        memory = peak_memory(step, torch.device("cpu")) / 2**20
        decibels = -10 * error.log10().item()
        print(f"equilibrium {name:<12}{decibels:6.2f} dB  {seconds:.1f} s  {memory:.0f} MiB")


if __name__ == "__main__":
    main()
