"""Compose a solver from scratch: deblur a photo whose kernel is known.

Declare what to minimise, lower it to updates, run them to a tolerance; nothing is learned::

    min ½‖H⊗I − X‖² + μ TV(Z)   subject to   I = Z
"""

import sys

import torch
from skimage.data import astronaut
from skimage.metrics import peak_signal_noise_ratio

from unfold.core import (
    Constraint,
    Equal,
    Lagrangian,
    Quadratic,
    Regularizer,
    Stage,
    converge,
    lower,
)
from unfold.degradation import motion_kernel
from unfold.imaging import Photo, write
from unfold.priors import TotalVariation
from unfold.terms import Convolution


def main(output: str = "compose_a_solver.png") -> float:
    torch.manual_seed(0)
    sharp = torch.from_numpy(astronaut()[:256, 100:356]).permute(2, 0, 1)[None].float() / 255
    kernel = motion_kernel(21)
    blur = Convolution("I", kernel="H", observed="X")
    observed = blur({"I": sharp, "H": kernel, "X": torch.zeros_like(sharp)})
    observed = observed + 0.01 * torch.randn_like(observed)

    lagrangian = Lagrangian(
        Quadratic(blur, 1.0),
        Constraint(Equal("I", "Z"), penalty="ρ", dual="D"),
        Regularizer("Z", TotalVariation(iterations=5), "μ"),
    )
    order = ("Z", "I", "D")
    print(lagrangian.explain(order), end="\n\n")

    stage = Stage(lower(lagrangian, order), {"ρ": 0.064, "μ": 8e-4})
    start = {"I": observed, "Z": observed, "X": observed, "H": kernel}
    with torch.no_grad():
        state, ledger = converge(stage, start, tolerance=2e-3, maximum=60)
    restored = state["Z"].clamp(0, 1)

    def psnr(image: torch.Tensor) -> float:
        return peak_signal_noise_ratio(sharp.numpy(), image.numpy(), data_range=1)

    first, last = ledger.stage(0)[0], ledger.stage(-1)[0]
    print(f"rounds: {len(ledger.weights)}, converged: {ledger.converged(2e-3)}")
    print(f"Lagrangian: {first.lagrangian.item():.3f} -> {last.lagrangian.item():.3f}")
    print(f"PSNR: {psnr(observed.clamp(0, 1)):.2f} dB blurred, {psnr(restored):.2f} dB restored")
    write(output, Photo(torch.cat((observed.clamp(0, 1), restored, sharp), -1)[0]))
    print(f"wrote {output}: blurred, restored, original")
    return psnr(restored) - psnr(observed.clamp(0, 1))


if __name__ == "__main__":
    main(*sys.argv[1:])
