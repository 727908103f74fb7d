"""Plug-and-play deconvolution by every prior that plugins bring, against deconv-small and TV.

    python priors.py SET [--count 8] [--side 256] [--sigma 2.55]

SET is one that known_kernels.py made; looked at are the middles of its first photos. Priors with
weights of their own, and those that need some, are left out. Printed is the PSNR of each, on
average and photo by photo.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch

import unfold
from unfold.imaging import find_photos, read
from unfold.models.presets import plug_and_play
from unfold.registry import scan

ROUNDS = 8  # of half-quadratic splitting, as in DPIR


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", type=Path)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--sigma", type=float, default=2.55, help="of the noise; white is 255")
    given = parser.parse_args()
    samples = [sample(given.set, path, given.side) for path in paths(given.set, given.count)]
    models = {
        "input": unfold.create_model("identity"),
        "tv-deblur": unfold.create_model("tv-deblur"),
        "deconv-small": unfold.create_model("deconv-small", pretrained=True),
    }
    for name in plugged():
        models[name] = plug_and_play(K=ROUNDS, prior=name, noise=given.sigma / 255)
    for name, model in models.items():
        found = [psnr(model.eval(), *one) for one in samples]
        each = " ".join(f"{value:.2f}" for value in found)
        print(f"{name:20s} {sum(found) / len(found):.2f}  {each}", flush=True)


def paths(folder: Path, count: int) -> list[Path]:
    return find_photos([folder / "input"])[:count]


def sample(folder: Path, path: Path, side: int):
    """The middle of a photo, what it should be, and its kernel."""
    middles = []
    for part in ("input", "target"):
        image = read(folder / part / path.name).image
        top, left = ((n - side) // 2 for n in image.shape[-2:])
        middles.append(image[None, :, top : top + side, left : left + side])
    kernel = torch.from_numpy(np.load(folder / "kernel" / f"{path.stem}.npy")).float()
    return *middles, kernel[None, None]


def plugged() -> list[str]:
    """Priors of plugins that are ready to use and have learned nothing here."""
    names = []
    for component in scan().components:
        if component.group != "priors" or component.distribution == "unfold-imaging":
            continue
        try:
            model = plug_and_play(K=2, prior=component.name)
        except Exception as error:  # whatever a plugin raises: weights that are not there
            print(f"{component.name:20s} left out: {str(error).splitlines()[0][:80]}")
            continue
        learned = any(p.requires_grad for p in model.stages.stages[0].lagrangian.parameters())
        names += [] if learned else [component.name]
    return names


@torch.inference_mode()
def psnr(model, image, target, kernel) -> float:
    error = (model(image, kernel=kernel).image - target).square().mean().item()
    return -10 * math.log10(error)


if __name__ == "__main__":
    main()
