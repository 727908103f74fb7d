"""How well kernels are estimated blindly: shaken photos of kodak24, restored by total variation.

    python blind_kernels.py DATA --count 24 [--light 0.25]

DATA holds photos/kodak24 and kernels. Photo j is blurred by kernel j of twelve (8 of Levin et al.,
4 of DPIR), each moved to its center of mass, at a share of the light, with noise of 0.01, in 8
bits. Its gray version is restored with the estimated and with the true kernel. The shift of a blind
estimate is arbitrary, also by parts of a pixel: PSNR is that at the best shift in steps of a
quarter pixel, as in Levin et al., "Understanding and evaluating blind deconvolution algorithms",
CVPR 2009. Printed are, of all photos so far, the means, the shares whose squared error is less than
two and three times that with the true kernel, and the seconds of an estimate.
"""

import argparse
import time
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

import unfold
from unfold.degradation import blur
from unfold.estimators import BlindKernel
from unfold.estimators.blind import centered
from unfold.imaging import find_photos, read

_NOISE, _BORDER, _SHIFT = 0.01, 24, 3


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--light", type=float, default=1.0)
    given = parser.parse_args()
    photos = find_photos([given.data / "photos/kodak24"])
    kernels = [*load(given.data, "levin09_8kernels")[:8], *load(given.data, "dpir_12kernels")[-4:]]
    estimator, rows = BlindKernel(), []
    for j in range(given.count):
        sharp = read(photos[(2 * j + j // 12) % len(photos)]).image[None]
        rows.append(row(estimator, sharp, kernels[j % 12], given.light, j))
        table = torch.tensor(rows)
        before, restored, best, seconds = table.mean(0).tolist()
        error = 10 ** ((table[:, 2] - table[:, 1]) / 10)
        print(
            f"{j + 1} photos: {before:.2f} -> {restored:.2f} dB, true kernels {best:.2f}; "
            f"below 2: {(error < 2).float().mean():.0%}, "
            f"below 3: {(error < 3).float().mean():.0%}; {seconds:.1f} s",
            flush=True,
        )


def load(data: Path, name: str) -> list[Tensor]:
    """Kernels ``(1, 1, n, n)``, at their center of mass."""
    with np.load(data / f"kernels/{name}.npz") as file:
        found = [torch.from_numpy(file[key]).float()[None, None] for key in file.files]
    return [centered(pad(kernel / kernel.sum(), (8, 8, 8, 8))) for kernel in found]


def row(estimator, sharp: Tensor, kernel: Tensor, light: float, seed: int) -> list[float]:
    noise = torch.randn(sharp.shape, generator=torch.Generator().manual_seed(seed))
    shaken = (blur(light * sharp, kernel) + _NOISE * noise).clamp(0, 1).mul(255).round() / 255
    begin = time.process_time()
    estimate = estimator(shaken)[0]
    seconds = time.process_time() - begin
    gray, want = (shaken / light).mean(1, keepdim=True), sharp.mean(1, keepdim=True)
    model = unfold.create_model("tv-deblur").eval()
    images = [model(gray.clamp(0, 1), kernel=k).image for k in (estimate, kernel)]
    restored, best = (aligned_psnr(image, want) for image in images)
    return [psnr(gray, want), restored, best, seconds]


def aligned_psnr(image: Tensor, want: Tensor) -> float:
    """PSNR at the best shift: of whole pixels first, then of less than one around it."""
    whole = range(-_SHIFT, _SHIFT + 1)
    near = [n / 4 for n in range(-3, 4)]
    down, right = max(product(whole, whole), key=lambda s: psnr(shifted(image, *s), want))
    return max(psnr(shifted(image, down + d, right + r), want) for d, r in product(near, near))


def shifted(image: Tensor, down: float, right: float) -> Tensor:
    """An image shifted by any part of a pixel, periodically."""
    height, width = image.shape[-2:]
    turns = torch.fft.fftfreq(height)[:, None] * down + torch.fft.rfftfreq(width) * right
    return torch.fft.irfft2(
        torch.fft.rfft2(image) * torch.exp(-2j * torch.pi * turns), s=image.shape[-2:]
    )


def psnr(image: Tensor, want: Tensor) -> float:
    inner = ..., slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER)
    return -10 * (image[inner].clamp(0, 1) - want[inner]).square().mean().log10().item()


if __name__ == "__main__":
    main()
