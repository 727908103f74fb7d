"""Networks trained by DeepInverse and by unfold: PSNR, seconds and memory, in one run.

    python benchmarks/trained_against_deepinverse.py

Both train the same network as the prior of the same rounds, from the same start on the same crops:
an equilibrium of half-quadratic splitting, to the same tolerance (30 unrolled rounds are there to
compare), and three unrolled rounds of ADMM with learned penalties. Seconds are of the training,
memory is the peak of one step.
"""

import time
from collections.abc import Callable
from itertools import pairwise

import torch
from deepinv.optim import ADMM, HQS, L2, DEQConfig, PnP
from deepinv.physics import BlurFFT
from skimage.data import astronaut, coffee
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

import unfold as uf
from unfold.benchmarking import peak_memory
from unfold.core import Prior
from unfold.degradation import motion_kernel
from unfold.priors import ResUNet

SIZE, CROP, STEPS, RHO = 256, 64, 60, 0.05
x, z = uf.blocks("x z")
y, k, rho, w = *uf.data("y k"), *uf.penalties("rho w")
fidelity = uf.sq(uf.conv(k, x) - y) / 2


class Contracting(Prior):
    """``0.8 v + 0.2 mean(v) + net(v)``, the mean of 3×3 pixels: it contracts high frequencies."""

    def __init__(self) -> None:
        super().__init__()
        pairs = pairwise((3, 24, 24, 3))
        layers = [nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairs]
        nn.init.zeros_(layers[-1].weight)
        self.net = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])

    def prox(self, v: Tensor, step: Tensor) -> Tensor:
        return 0.8 * v + 0.2 * avg_pool2d(v, 3, 1, 1, count_include_pad=False) + self.net(v)


class AsDenoiser(nn.Module):
    """A prior as DeepInverse calls it."""

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, v: Tensor, sigma: float | Tensor, *_) -> Tensor:
        return self.prior.prox(v, torch.as_tensor(sigma, dtype=v.dtype).square().view(-1, 1, 1, 1))


def our_equilibrium(rounds: int | None = None) -> nn.Module:
    objective = fidelity + rho / 2 * uf.sq(x - z) + Contracting()(z)
    options = {"output": z, "start": y, "penalties": {"rho": RHO}}
    network = objective.unroll(rounds, **options) if rounds else objective.equilibrium(**options)
    network.stages.stages[0].penalties.requires_grad_(False)
    return network


def their_equilibrium() -> nn.Module:
    # (Its Anderson acceleration adds 1e-4 to Gram matrices however small: it takes longer.)
    return HQS(
        data_fidelity=L2(), prior=PnP(AsDenoiser(Contracting())), stepsize=1 / RHO, g_param=0.0,
        max_iter=200, early_stop=True, thres_conv=1e-4, DEQ=DEQConfig(), trainable_params=[],
    )  # fmt: skip


def our_rounds() -> nn.Module:
    prior = ResUNet(widths=(8, 16), residual=True)
    objective = fidelity + w * prior(z) + uf.constraint(x - z, rho)
    return objective.unroll(3, output=z, start=y, penalties={"rho": RHO, "w": 1e-4})


def their_rounds() -> nn.Module:
    return ADMM(
        data_fidelity=L2(), prior=PnP(AsDenoiser(ResUNet(widths=(8, 16), residual=True))),
        stepsize=1 / RHO, g_param=(1e-4 / RHO) ** 0.5, max_iter=3, unfold=True,
        trainable_params=["stepsize", "g_param"], custom_init=lambda y, _: (y, 0 * y),
    )  # fmt: skip


# Name -> the networks, and the rate of learning.
# (At 2e-3 the prior of the equilibrium ceases to contract after 56 steps, and unfold refuses.)
CASES = {
    "equilibrium": (our_equilibrium, their_equilibrium, 1e-3),
    "unrolled": (our_rounds, their_rounds, 3e-3),
}


def call(network: nn.Module, observed: Tensor, kernel: Tensor) -> Tensor:
    if isinstance(network, (HQS, ADMM)):
        return network(observed, BlurFFT(img_size=observed.shape[1:], filter=kernel))
    return network(y=observed, k=kernel)


def shaken(sharp: Tensor, kernel: Tensor) -> Tensor:
    blurred = uf.sq(uf.conv(k, x)).residual({"x": sharp, "k": kernel})
    return blurred + 0.01 * torch.randn_like(blurred)


def measure(name: str, make: Callable[[], nn.Module], rate: float) -> None:
    """Train a network on crops of one photo, and restore another."""
    torch.manual_seed(0)
    network, kernel = make(), motion_kernel(21)
    photo = torch.from_numpy(coffee()).permute(2, 0, 1)[None] / 255
    optimizer = torch.optim.Adam(network.parameters(), rate)

    def step() -> None:
        row, column = (int(torch.randint(n - CROP + 1, ())) for n in photo.shape[2:])
        crop = photo[..., row : row + CROP, column : column + CROP]
        optimizer.zero_grad()
        (call(network, shaken(crop, kernel), kernel) - crop).abs().mean().backward()
        optimizer.step()

    begin = time.perf_counter()
    for _ in range(STEPS):
        step()
    seconds = time.perf_counter() - begin
    sharp = torch.from_numpy(astronaut()[:SIZE, 100 : 100 + SIZE]).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        error = (call(network, shaken(sharp, kernel), kernel).clamp(0, 1) - sharp).square().mean()
    memory = peak_memory(step, torch.device("cpu")) / 2**20
    decibels = -10 * error.log10().item()
    print(f"{name:<24}{decibels:6.2f} dB  {seconds:.1f} s  {memory:.0f} MiB")


if __name__ == "__main__":
    for name, (ours, theirs, rate) in CASES.items():
        measure(f"{name} unfold", ours, rate)
        measure(f"{name} DeepInverse", theirs, rate)
    measure("30 rounds in its place", lambda: our_equilibrium(30), 1e-3)
