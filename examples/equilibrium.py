"""A network of as many rounds as it takes, trained in the memory of one."""

import sys

import torch
from skimage.data import astronaut

import unfold as uf
from unfold.degradation import motion_kernel
from unfold.imaging import Photo, write

(x, z), (y, k) = uf.blocks("x z"), uf.data("y k")
w, rho, smooth = uf.penalties("w rho smooth")
data = uf.sq(uf.conv(k, x) - y) / 2 + smooth * uf.sq(uf.grad(x))  # (so that the rounds contract)
learned = w * uf.prior("resunet", widths=[8, 16], residual=True)(z)
objective = data + rho / 2 * uf.sq(x - z) + learned


def main(output: str = "equilibrium.png", steps: int = 60) -> float:
    torch.manual_seed(0)
    photo, kernel = torch.from_numpy(astronaut()).permute(2, 0, 1)[None] / 255, motion_kernel(9)
    blurred = uf.sq(uf.conv(k, x)).residual({"x": photo, "k": kernel})
    noisy = blurred + 0.02 * torch.randn_like(blurred)
    penalties = {"w": 1e-4, "rho": 0.05, "smooth": 0.02}
    network = objective.equilibrium(output=z, start=y, penalties=penalties, tolerance=1e-3)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(
        steps
    ):  # crops of the right half; what lies beyond them blurs into their borders
        row, column = int(torch.randint(448, ())), int(torch.randint(256, 448, ()))
        crop = (..., slice(row, row + 64), slice(column, column + 64))
        optimizer.zero_grad()
        (network(y=noisy[crop], k=kernel) - photo[crop])[..., 4:-4, 4:-4].abs().mean().backward()
        optimizer.step()
    sharp, shaken = photo[..., 64:160, 160:256], noisy[..., 64:160, 160:256]  # of the left half
    print(uf.certify(network, y=shaken, k=kernel))
    restored = network(y=shaken, k=kernel).detach().clamp(0, 1)
    inside, psnr = (..., slice(4, -4), slice(4, -4)), uf.create("metrics", "psnr")
    before, after = (psnr(p.clamp(0, 1)[inside], sharp[inside]).item() for p in (shaken, restored))
    print(f"PSNR: {before:.2f} dB shaken, {after:.2f} dB restored")
    write(output, Photo(torch.cat((shaken, restored, sharp), -1)[0].clamp(0, 1)))
    print(f"wrote {output}: shaken, restored, original")
    return after - before


if __name__ == "__main__":
    main(*sys.argv[1:])
