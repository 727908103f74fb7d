"""The kernel as a block: declared by ``blocks`` in place of ``data``, and refined with the photo.

A declaration alone does not find a shake: no blur at all explains a photo, too, as `explain` says.
From a rough kernel it refines one; `unfold kernel PHOTO` finds the first, from coarse to fine.
"""

import sys

import torch
from skimage.data import astronaut

import unfold as uf
from unfold.degradation import motion_kernel
from unfold.imaging import Photo, write

x, z, h, p = uf.blocks("x z h p")
y, k = uf.data("y k")
objective = (
    uf.sq(uf.conv(h, x) - y) / 2 + 3e-3 * uf.tv(z) + uf.constraint(x - z, 0.05)
    + uf.simplex(p) + uf.constraint(h - p, 1e4)
)  # fmt: skip
ORDER = ("z", "x", "p", "h", "dual1", "dual2")


def main(output: str = "blind_deconvolution.png") -> float:
    sharp = torch.from_numpy(astronaut()[:192, 120:312]).permute(2, 0, 1)[None].float() / 255
    true = motion_kernel(15, generator=torch.Generator().manual_seed(4))
    blurred = uf.sq(uf.conv(k, x)).residual({"x": sharp, "k": true})
    rough = torch.nn.functional.avg_pool2d(true, 5, 1, 2)
    print(objective.explain(ORDER), end="\n\n")
    start = {h: rough / rough.sum(), p: rough / rough.sum()}
    solution = objective.solve(y=blurred, start=start, order=ORDER, tolerance=5e-3)
    for name, kernel in (("at first", rough), ("in the end", solution[p])):
        both = torch.stack([kernel.flatten(), true.flatten()])
        print(f"correlation with the true kernel {name}: {torch.corrcoef(both)[0, 1].item():.2f}")
    psnr = uf.create("metrics", "psnr")
    before, after = (psnr(i.clamp(0, 1), sharp).item() for i in (blurred, solution[z]))
    print(f"PSNR: {before:.2f} dB blurred, {after:.2f} dB restored")
    write(output, Photo(torch.cat((blurred, solution[z], sharp), -1)[0].clamp(0, 1)))
    print(f"wrote {output}: blurred, restored, original")
    return after - before


if __name__ == "__main__":
    main(*sys.argv[1:])
