"""Inpainting, demosaicking and ×2 super-resolution: one prior, three data terms."""

import sys

import torch
from skimage.data import coffee

import unfold as uf
from unfold.imaging import Photo, write

(x, z), (y, m, k) = uf.blocks("x z"), uf.data("y m k")
edges = 0.002 * uf.tv(z) + uf.constraint(x - z, "rho")
inpainting = uf.sq(m * x - y) / 2 + edges  # m is 0 where a pixel is missing
super_resolution = uf.sq(uf.downsample(uf.conv(k, x), 2) - y) / 2 + edges


def bayer(height: int, width: int) -> torch.Tensor:
    """The mask of a Bayer sensor: one color at each pixel, green at two of four."""
    mask = torch.zeros(1, 3, height, width)
    mask[:, 0, 0::2, 0::2] = mask[:, 2, 1::2, 1::2] = 1
    mask[:, 1, 0::2, 1::2] = mask[:, 1, 1::2, 0::2] = 1
    return mask


def main(output: str = "missing_pixels.png") -> float:
    torch.manual_seed(0)
    sharp = torch.from_numpy(coffee()[60:188, 200:328]).permute(2, 0, 1)[None].float() / 255
    holes, sensor = (torch.rand(1, 1, 128, 128) > 0.6).float(), bayer(128, 128)
    box = torch.full((1, 1, 3, 3), 1 / 9)
    small = uf.sq(uf.downsample(uf.conv(k, x), 2)).residual({"x": sharp, "k": box})
    found = {
        "inpainting": inpainting.solve(y=holes * sharp, m=holes, rho=0.05)[z],
        "demosaicking": inpainting.solve(y=sensor * sharp, m=sensor, rho=0.05)[z],
        "super-resolution": super_resolution.solve(y=small, k=box, rho=0.02)[z],
    }
    psnr = uf.create("metrics", "psnr")
    values = {name: psnr(image.clamp(0, 1), sharp).item() for name, image in found.items()}
    print("PSNR:", ", ".join(f"{name} {value:.2f} dB" for name, value in values.items()))
    write(output, Photo(torch.cat((*found.values(), sharp), -1)[0].clamp(0, 1)))
    print(f"wrote {output}: {', '.join(found)}, original")
    return min(values.values())


if __name__ == "__main__":
    main(*sys.argv[1:])
