"""Deblur with any installed prior: ``python examples/plug_and_play.py OUTPUT PRIOR``.

Half-quadratic splitting by Zhang et al. (DPIR, TPAMI 2021): the penalty grows from round to round,
and the variance that the prior is given decreases with it.
"""

import sys

import torch
from skimage.data import astronaut

import unfold as uf
from unfold.core import lower
from unfold.degradation import motion_kernel
from unfold.imaging import Photo, write


def main(output: str = "plug_and_play.png", prior: str = "denoiser") -> float:
    torch.manual_seed(0)
    x, z = uf.blocks("x z")
    y, k, w = uf.data("y"), uf.data("k"), uf.penalties("w")
    learned = uf.penalties("v") * uf.prior(prior)(z)
    objective = uf.sq(uf.conv(k, x) - y) / 2 + w / 2 * uf.sq(x - z) + learned

    sigma, kernel = 0.01, motion_kernel(21)
    sharp = torch.from_numpy(astronaut()[:192, 120:312]).permute(2, 0, 1)[None].float() / 255
    blurred = uf.sq(uf.conv(k, x)).residual({"x": sharp, "k": kernel})
    observed = blurred + sigma * torch.randn_like(sharp)
    state = {"y": observed, "k": kernel, "x": observed, "z": observed}
    for level in torch.logspace(-0.7, -2, 8).tolist():  # the prior's standard deviations
        penalty = 0.23 * sigma**2 / level**2
        for step in lower(objective.lagrangian, ("x", "z")):
            state = step(state, {"w": penalty, "v": penalty * level**2})
    psnr = uf.create("metrics", "psnr")
    before, after = (psnr(p.clamp(0, 1), sharp).item() for p in (observed, state["z"]))
    print(f"PSNR: {before:.2f} dB blurred, {after:.2f} dB with the prior {prior}")
    write(output, Photo(torch.cat((observed, state["z"], sharp), -1)[0].clamp(0, 1)))
    print(f"wrote {output}: blurred, restored, original")
    return after - before


if __name__ == "__main__":
    main(*sys.argv[1:])
