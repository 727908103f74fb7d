"""An unrolled network in one's own training loop; saved, loaded, compiled."""

import sys

import torch
from skimage.data import astronaut, coffee

import unfold as uf
from unfold.degradation import motion_kernel
from unfold.imaging import Photo, write

x, z = uf.blocks("x z")
y, k = uf.data("y k")
learned = uf.penalties("w") * uf.prior("resunet", widths=[8, 16], residual=True)(z)
objective = uf.sq(uf.conv(k, x) - y) / 2 + learned + uf.constraint(x - z, "rho")


def shaken(photo, size: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """A crop of a photo, and the data ``y`` and ``k`` of the same crop taken with a shake."""
    row, column = (int(torch.randint(n - size + 1, ())) for n in photo.shape[:2])
    crop = torch.from_numpy(photo[row : row + size, column : column + size])
    sharp, kernel = crop.permute(2, 0, 1)[None].float() / 255, motion_kernel(9)
    blurred = uf.sq(uf.conv(k, x)).residual({"x": sharp, "k": kernel})
    return sharp, {"y": blurred + 0.02 * torch.randn_like(blurred), "k": kernel}


def main(output: str = "unrolled_network.png", steps: int = 60) -> float:
    torch.manual_seed(0)
    network = objective.unroll(3, output=z, start=y, penalties={"rho": 0.05, "w": 1e-4})
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(steps):
        sharp, data = shaken(astronaut(), 64)
        optimizer.zero_grad()
        (network(**data) - sharp).abs().mean().backward()
        optimizer.step()
    torch.save(network.state_dict(), output + ".pt")
    again = objective.unroll(3, output=z, start=y)
    again.load_state_dict(torch.load(output + ".pt", weights_only=True))
    sharp, data = shaken(coffee(), 192)
    restored = again(**data).detach()  # torch.compile(again)(**data) is the same, faster on a GPU
    psnr = uf.create("metrics", "psnr")
    before, after = (psnr(p.clamp(0, 1), sharp).item() for p in (data["y"], restored))
    print(f"PSNR: {before:.2f} dB shaken, {after:.2f} dB restored")
    write(output, Photo(torch.cat((data["y"], restored, sharp), -1)[0].clamp(0, 1)))
    print(f"wrote {output}: shaken, restored, original")
    return after - before


if __name__ == "__main__":
    main(*sys.argv[1:])
