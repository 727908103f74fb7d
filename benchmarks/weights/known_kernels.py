"""Photos blurred by a set of kernels, with noise: what deconv-small is measured on.

    python known_kernels.py PHOTOS KERNELS.npz -o OUT --sigma 2.55

Photo i gets kernel i modulo their number, on the values of its file, as is usual in benchmarks of
deblurring; beyond the border lies its mirror image. OUT/input, OUT/target (16-bit PNG) and
OUT/kernel are read by ``unfold evaluate --dataset paired --set-data kernel_dir=kernel``.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from unfold.degradation import blur
from unfold.imaging import Photo, find_photos, read, write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("kernels", type=Path)
    parser.add_argument("-o", "--output", required=True, type=Path)
    parser.add_argument("--sigma", type=float, default=2.55, help="of the noise; white is 255")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with np.load(given.kernels) as file:
        kernels = [file[name] / file[name].sum() for name in sorted(file)]
    for folder in ("input", "target", "kernel"):
        (given.output / folder).mkdir(parents=True, exist_ok=True)
    for i, path in enumerate(find_photos([given.photos])):
        sharp, kernel = read(path).image, kernels[i % len(kernels)]
        weights = torch.from_numpy(kernel).float()[None, None]
        rng = torch.Generator().manual_seed(1000 * given.seed + i)
        noise = torch.randn(sharp.shape, generator=rng) * given.sigma / 255
        bad = (blur(sharp[None], weights)[0] + noise).clamp(0, 1)
        for folder, image in (("input", bad), ("target", sharp)):
            write(given.output / folder / f"{path.stem}.png", Photo(image, bits=16))
        np.save(given.output / "kernel" / f"{path.stem}.npy", kernel)


if __name__ == "__main__":
    main()
