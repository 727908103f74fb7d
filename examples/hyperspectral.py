"""Sixteen channels, and a batch whose images have kernels and noise of their own."""

import sys

import torch
from skimage.data import astronaut

import unfold as uf
from unfold.degradation import motion_kernel
from unfold.imaging import Photo, write

x, z = uf.blocks("x z")
y, k = uf.data("y k")
objective = uf.sq(uf.conv(k, x) - y) / 2 + uf.penalties("w") * uf.tv(z) + uf.constraint(x - z, "r")


def main(output: str = "hyperspectral.png") -> float:
    torch.manual_seed(0)
    photo = torch.from_numpy(astronaut()[:128, 160:288]).permute(2, 0, 1)[None].float() / 255
    spectra = torch.rand(16, 3).softmax(1)  # of 16 bands, each a mixture of three colors
    sharp = torch.einsum("sc,bchw->bshw", spectra, photo).repeat(2, 1, 1, 1)
    kernels = torch.cat([motion_kernel(15), motion_kernel(15)])
    noise = torch.tensor([0.005, 0.02]).view(2, 1, 1, 1)
    blurred = uf.sq(uf.conv(k, x)).residual({"x": sharp, "k": kernels})
    observed = blurred + noise * torch.randn_like(sharp)
    solution = objective.solve(y=observed, k=kernels, w=0.15 * noise, r=4 * noise)
    error = [(found - sharp).square().mean((1, 2, 3)) for found in (observed, solution[z])]
    before, after = (-10 * e.log10() for e in error)
    for i in range(2):
        print(f"image {i}, noise {noise[i].item():.3f}: {before[i]:.2f} -> {after[i]:.2f} dB")
    colors = torch.linalg.pinv(spectra)  # the bands as colors, to look at
    shown = [torch.einsum("cs,shw->chw", colors, b[1]) for b in (observed, solution[z], sharp)]
    write(output, Photo(torch.cat(shown, -1).clamp(0, 1)))
    print(f"wrote {output}: blurred, restored, original, of the second image")
    return (after - before).min().item()


if __name__ == "__main__":
    main(*sys.argv[1:])
