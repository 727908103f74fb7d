"""How many true values the error bars of a model hold: shaken photos whose sharp ones are known.

    python coverage.py DATA --model deconv-small [--light 0.25] [--blind] [--count 24]

DATA holds photos and kernels. On photos/bsds500/val with motion kernels of wischow_dlr the scale is
measured at which ± 1.645 deviations hold 90 % of the values (`Restorer.error_scale`); on
photos/kodak24 with the kernels of Levin et al. and of DPIR, which no scale was measured on, how
many they hold. The middles (320²) are blurred; the noise of photo j is one of 0.7, 1.5, 3, 5 and
7.65/255, and 8 bits.

With --blind the kernel is not given, and the truth is shifted by up to three pixels, to where it
fits best; with --light the photo is dark, and the truth is made as bright as the result in means
over surroundings: where an object lies, and how bright it was, no photo of that kind tells.
"""

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import unfold
from unfold.degradation import blur
from unfold.estimators.reblur import as_bright_as
from unfold.imaging import find_photos, read
from unfold.restoration import read_kernel
from unfold.restoration.trust import BAND, with_trust

_LEVELS = 0.7, 3, 7.65, 1.5, 5
_SIDE, _BORDER, _SHIFT = 320, 24, 3
_STEP = 7  # every so many values are looked at


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--light", type=float, default=1.0)
    parser.add_argument("--blind", action="store_true")
    given = parser.parse_args()
    trained = given.model in ("deconv-small", "deblur", "jude-small")
    model = unfold.create_model(given.model, pretrained=trained).eval()
    known = model.error_scale[given.blind]
    grow = report("bsds500/val", validation, model, given)
    print(f"error_scale of {given.model}: {(known or 1.0) * grow:.3g}")
    report("kodak24", unseen, model, given, 1.0 if known else grow)


def report(name, cases, model, given, grow: float = 1.0) -> float:
    """Print what the bars hold; the factor by which they must grow to hold 90 %."""
    errors, deviations, held = [], [], []
    for j, (photo, kernel) in enumerate(itertools.islice(cases(given.data), given.count)):
        top, left = ((side - _SIDE) // 2 for side in photo.shape[-2:])
        sharp = photo[..., top : top + _SIDE, left : left + _SIDE]
        error, deviation = bars(model, sharp, kernel, given, j)
        errors.append(error)
        deviations.append(grow * deviation)
        held.append((error <= BAND * deviations[-1]).float().mean().item())
    error, deviation = torch.cat(errors), torch.cat(deviations)
    ratio = (error / (BAND * deviation)).sort().values
    inside = (error <= BAND * deviation).float()
    tenths = [part.mean().item() for part in inside[deviation.argsort()].chunk(10)]
    print(
        f"{name}, {len(held)} photos: {inside.mean():.1%} of the values within the bars, "
        f"of a photo {min(held):.0%} to {max(held):.0%}; by tenths of the deviation "
        + " ".join(f"{share:.0%}" for share in tenths)
        + f"; mean deviation {deviation.mean():.4f}, error {error.square().mean().sqrt():.4f}",
        flush=True,
    )
    return ratio[int(0.9 * len(ratio))].item()


def bars(model, sharp: Tensor, kernel: Tensor, given, seed: int) -> tuple[Tensor, Tensor]:
    """Of some values of a photo: the error and the deviation."""
    noise = torch.randn(sharp.shape, generator=torch.Generator().manual_seed(seed))
    photo = blur(given.light * sharp, kernel) + _LEVELS[seed % 5] / 255 * noise
    photo = photo.clamp(0, 1).mul(255).round() / 255
    made = with_trust(model, photo, kernel=None if given.blind else kernel)
    shifts = range(-_SHIFT, _SHIFT + 1) if given.blind else (0,)
    truths = (
        truth(sharp.roll((y, x), (-2, -1)), made.image, given) for y in shifts for x in shifts
    )
    inner = ..., slice(_BORDER, -_BORDER), slice(_BORDER, -_BORDER)
    errors = [(made.image - one).abs()[inner] for one in truths]
    error = min(errors, key=lambda e: e.square().mean().item())
    deviation = made.trust.deviation[inner].expand_as(error)
    return error.flatten()[::_STEP], deviation.flatten()[::_STEP]


def truth(sharp: Tensor, made: Tensor, given) -> Tensor:
    return sharp if given.light == 1 else as_bright_as(sharp, made)


def validation(data: Path) -> Iterator[tuple[Tensor, Tensor]]:
    photos = find_photos([data / "photos/bsds500/val"])
    kernels = sorted((data / "kernels/wischow_dlr").glob("*inear_*.png"))
    for j, photo in enumerate(photos):
        yield read(photo).image[None], read_kernel(kernels[7 * j % len(kernels)])


def unseen(data: Path) -> Iterator[tuple[Tensor, Tensor]]:
    files = [np.load(data / f"kernels/{n}.npz") for n in ("levin09_8kernels", "dpir_12kernels")]
    kernels = [torch.from_numpy(file[key]).float()[None, None] for file in files for key in file]
    for j, photo in enumerate(find_photos([data / "photos/kodak24"])):
        kernel = kernels[j % len(kernels)]
        yield read(photo).image[None], kernel / kernel.sum()


if __name__ == "__main__":
    main()
