"""Write a prior, check it, and denoise with it.

The prior makes the cosine coefficients of 8×8 blocks sparse: ``g(x) = ‖C x‖₁`` with C orthonormal,
so that ``prox(v) = Cᵀ soft(C v, step)``. The conformance kit checks every promise of a prior: a
wrong factor would fail.
"""

import math
import sys

import torch
from einops import rearrange
from skimage.data import coffee
from skimage.metrics import peak_signal_noise_ratio

import unfold as uf
from unfold.core import Prior
from unfold.imaging import Photo, write
from unfold.testing import check_prior


class BlockCosine(Prior):
    """``g(x) = ‖C x‖₁``, C the cosine transform of the whole 8×8 blocks of an image."""

    accepts_map = False  # C mixes the pixels of a block: one step for all of them

    def __init__(self) -> None:
        super().__init__()
        k, n = torch.arange(8.0)[:, None], torch.arange(8.0)[None]
        basis = torch.cos(math.pi * (n + 0.5) * k / 8) / 2
        basis[0] /= math.sqrt(2)
        self.register_buffer("basis", basis)

    def transform(self, x: torch.Tensor) -> torch.Tensor:
        blocks = rearrange(x, "b c (h u) (w v) -> b c h w u v", u=8, v=8)
        basis = self.basis.to(x.dtype)
        return basis @ blocks @ basis.T

    def prox(self, v: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        if step.shape[-2:] != (1, 1):
            raise ValueError(f"step has shape {tuple(step.shape)}: give one step for each image")
        h, w = (side - side % 8 for side in v.shape[-2:])
        c, threshold = self.transform(v[..., :h, :w]), step[..., None, None]
        c = c - torch.maximum(torch.minimum(c, threshold), -threshold)
        x, basis = v.clone(), self.basis.to(v.dtype)
        x[..., :h, :w] = rearrange(basis.T @ c @ basis, "b c h w u v -> b c (h u) (w v)")
        return x

    def value(self, x: torch.Tensor) -> torch.Tensor:
        h, w = (side - side % 8 for side in x.shape[-2:])
        return self.transform(x[..., :h, :w]).abs().flatten(1).sum(1)


def main(output: str = "write_a_prior.png") -> float:
    check_prior(BlockCosine, claims=("nonexpansive",))  # raises an error that lists all failures
    print("passed: every check of a prior")

    torch.manual_seed(0)
    sharp = torch.from_numpy(coffee()[:256, 100:356]).permute(2, 0, 1)[None].float() / 255
    noisy = sharp + 0.1 * torch.randn_like(sharp)
    x, y = uf.blocks("x"), uf.data("y")
    denoising = uf.sq(x - y) / 2 + 0.2 * BlockCosine()(x)
    restored = denoising.solve(y=noisy)[x].clamp(0, 1)

    def psnr(image: torch.Tensor) -> float:
        return peak_signal_noise_ratio(sharp.numpy(), image.numpy(), data_range=1)

    print(f"PSNR: {psnr(noisy.clamp(0, 1)):.2f} dB noisy, {psnr(restored):.2f} dB denoised")
    write(output, Photo(torch.cat((noisy.clamp(0, 1), restored, sharp), -1)[0]))
    print(f"wrote {output}: noisy, denoised, original")
    return psnr(restored) - psnr(noisy.clamp(0, 1))


if __name__ == "__main__":
    main(*sys.argv[1:])
