"""Deblur counts of few photons: Poisson's likelihood and total variation (PIDAL).

Figueiredo and Bioucas-Dias, "Restoration of Poissonian images using alternating direction
optimization", IEEE Transactions on Image Processing 2010.
"""

import sys

import torch
from skimage.data import camera

import unfold as uf
from unfold.imaging import Photo, write

x, (y, k) = uf.blocks("x"), uf.data("y k")
objective = uf.poisson(uf.conv(k, x), y) + 0.02 * uf.tv(x) + uf.box(x, 0.01, float("inf"))


def main(output: str = "poisson_noise.png", photons: float = 150.0) -> float:
    torch.manual_seed(0)
    sharp = torch.from_numpy(camera()[100:356:2, 120:376:2])[None, None].float() / 255
    kernel = torch.full((1, 1, 5, 5), 1 / 25)
    blurred = uf.sq(uf.conv(k, x)).residual({"x": photons * sharp, "k": kernel})
    counts = torch.poisson(blurred.clamp_min(0))
    split = objective.split("rho")  # a block for each of the three terms
    print(split.explain(), end="\n\n")
    solution = split.solve(y=counts, k=kernel, rho=0.05, start={x: y})
    psnr = uf.create("metrics", "psnr")
    found = (solution["x"] / photons).clamp(0, 1)
    before, after = (psnr(p, sharp).item() for p in ((counts / photons).clamp(0, 1), found))
    print(f"PSNR: {before:.2f} dB counted, {after:.2f} dB restored")
    pictures = torch.cat(((counts / photons).clamp(0, 1), found, sharp), -1)[0]
    write(output, Photo(pictures.expand(3, -1, -1)))
    print(f"wrote {output}: counted, restored, original")
    return after - before


if __name__ == "__main__":
    main(*sys.argv[1:])
