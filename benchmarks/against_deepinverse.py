"""Two of the examples in DeepInverse: PSNR and seconds of the same objective, in one run.

    python benchmarks/against_deepinverse.py

Both minimize ``½ ‖A x − y‖² + λ TV(x)`` by ADMM with the same penalty: unfold to a tolerance,
DeepInverse for as many iterations as bring it there.
"""

import time
from collections.abc import Callable

import torch
from deepinv.optim import L2, optim_builder
from deepinv.optim.prior import TVPrior
from deepinv.physics import BlurFFT, Inpainting
from skimage.data import astronaut

import unfold as uf
from unfold.degradation import motion_kernel

SIZE = 256


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
    shape = (3, SIZE, SIZE)

    def ours(objective: uf.Objective, **values: torch.Tensor | float) -> Callable:
        return lambda: objective.solve(tolerance=2e-3, **values)[z]

    def theirs(physics, observed: torch.Tensor, weight: float, rho: float, rounds: int) -> Callable:
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
    }
    for name, pair in cases.items():
        for library, run in zip(("unfold", "DeepInverse"), pair, strict=True):
            with torch.no_grad():
                run()
                begin = time.perf_counter()
                error = (run().clamp(0, 1) - sharp).square().mean()
                seconds = time.perf_counter() - begin
            print(f"{name:<12}{library:<12}{-10 * error.log10().item():6.2f} dB  {seconds:.2f} s")


if __name__ == "__main__":
    main()
