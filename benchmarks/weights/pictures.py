"""The picture in a model's card: what it is good at above, what it fails at below.

    python pictures.py NAME -o OUT.jpg

Columns: input, restored, original. Photos are scikit-image's, which are free to show.
"""

import argparse
from pathlib import Path

import skimage.data
import torch
from PIL import Image
from torch import Tensor

import unfold
from unfold.degradation import CameraShake, Defocus, GaussianNoise, LowLight
from unfold.degradation.color_space import decode, encode

_SIDE = 208
_DARK = {"exposure": (0.15, 0.15), "extent": (4, 4), "sigma": (0.005, 0.005)}
_DARKER = {"exposure": (0.03, 0.03), "extent": (9, 9), "sigma": (0.02, 0.02)}
_UNSHAKEN = _DARK | {"extent": (0, 0)}
_CASES = {
    "jude-small": ("dark", [("astronaut", _DARK), ("chelsea", _DARKER)]),
    "lednet-small": ("dark", [("astronaut", _DARK), ("chelsea", _DARKER)]),
    "zero-dce": ("dark", [("astronaut", _UNSHAKEN), ("chelsea", _DARKER)]),
    "deconv-small": ("shaken", [
        ("astronaut", {"extent": (8, 8), "sigma": (0.01, 0.01)}),
        ("coffee", {"extent": (14, 14), "sigma": (0.06, 0.06)}),
    ]),
    "era-small": ("defocused", [
        ("astronaut", {"radius": (2.5, 2.5)}),
        ("coffee", {"radius": (7.0, 7.0)}),
    ]),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", choices=_CASES)
    parser.add_argument("-o", "--output", required=True, type=Path)
    given = parser.parse_args()
    model = unfold.create_model(given.name, pretrained=True)
    kind, cases = _CASES[given.name]
    rows = []
    for photo, options in cases:
        sharp = (
            torch.from_numpy(getattr(skimage.data, photo)()).float().permute(2, 0, 1)[None] / 255
        )
        bad, kernel = _DEGRADE[kind](sharp, options, torch.Generator().manual_seed(4))
        told = {"kernel": kernel} if model.needs_kernel else {}
        with torch.inference_mode():
            restored = model(bad, **told).image
        error = [f"{-10 * (x - sharp).square().mean().log10():.2f} dB" for x in (bad, restored)]
        print(f"{given.name} {photo} {options}: {error[0]} -> {error[1]}")
        rows.append(torch.cat([_part(x) for x in (bad, restored, sharp)], -1))
    sheet = (255 * torch.cat(rows, -2)[0]).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(sheet).save(given.output, quality=82)


def _part(x: Tensor) -> Tensor:
    top, left = (int(0.4 * (n - _SIDE)) for n in x.shape[-2:])
    return x[..., top : top + _SIDE, left : left + _SIDE]


def _dark(sharp: Tensor, options: dict, rng: torch.Generator) -> tuple[Tensor, None]:
    x = LowLight(exposure=options["exposure"])(decode(sharp), generator=rng)
    x = encode(CameraShake(extent=options["extent"])(x, generator=rng))
    return GaussianNoise(sigma=options["sigma"])(x, generator=rng).clamp(0, 1), None


def _shaken(sharp: Tensor, options: dict, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    shake = CameraShake(extent=options["extent"])
    drawn = shake.sample(1, rng)
    x = shake.apply(sharp, drawn)
    noisy = GaussianNoise(sigma=options["sigma"])(x, generator=rng).clamp(0, 1)
    return noisy, shake.kernel(drawn).float()


def _defocused(sharp: Tensor, options: dict, rng: torch.Generator) -> tuple[Tensor, None]:
    blurred = Defocus(shapes=("disc",), ratio=(1, 1), **options)(decode(sharp), generator=rng)
    return encode(blurred).clamp(0, 1), None


_DEGRADE = {"dark": _dark, "shaken": _shaken, "defocused": _defocused}

if __name__ == "__main__":
    main()
