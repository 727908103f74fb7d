"""Deblur a photo whose kernel is known, by total variation; nothing is learned."""

import sys

import torch
from skimage.data import astronaut

import unfold as uf
from unfold.degradation import motion_kernel
from unfold.imaging import Photo, write

x, z = uf.blocks("x z")
y, k = uf.data("y k")
objective = uf.sq(uf.conv(k, x) - y) / 2 + 8e-4 * uf.tv(z) + uf.constraint(x - z, "rho")


def main(output: str = "compose_a_solver.png") -> float:
    torch.manual_seed(0)
    sharp = torch.from_numpy(astronaut()[:256, 100:356]).permute(2, 0, 1)[None].float() / 255
    kernel = motion_kernel(21)
    blurred = uf.sq(uf.conv(k, x)).residual({"x": sharp, "k": kernel})
    observed = blurred + 0.01 * torch.randn_like(sharp)

    print(objective.explain(), end="\n\n")
    solution = objective.solve(y=observed, k=kernel, rho=0.064, tolerance=2e-3)
    psnr = uf.create("metrics", "psnr")
    before, after = (psnr(p.clamp(0, 1), sharp).item() for p in (observed, solution[z]))
    print(f"PSNR: {before:.2f} dB blurred, {after:.2f} dB restored")
    write(output, Photo(torch.cat((observed, solution[z], sharp), -1)[0].clamp(0, 1)))
    print(f"wrote {output}: blurred, restored, original")
    return after - before


if __name__ == "__main__":
    main(*sys.argv[1:])
