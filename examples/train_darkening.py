"""Train the darkening curve of `zero-dce-darkening` on good photos, and darken one with it.

Without folders it trains for seconds on three photos that scikit-image carries: a rough curve.
With folders of a few hundred photos, 600 steps (a few minutes of one CPU core) train the curve that
`unfold.degradation.zero_dce` reports on, by a network smaller than LEDNet's::

    python examples/train_darkening.py darkening.png --photos FOLDER [FOLDER ...] --steps 600

The weights are written beside the picture: ``darkening.safetensors``.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from skimage.data import astronaut, chelsea, coffee

from unfold.degradation.zero_dce import ZeroDCEDarkening
from unfold.imaging import Photo, find_photos, read, write
from unfold.training.darkening import train_darkening


def main(
    output: str = "train_darkening.png", folders: tuple[str, ...] = (), steps: int = 60
) -> list[float]:
    if folders:
        photos = [read(path).image for path in find_photos(folders)]
    else:
        samples = (astronaut(), coffee(), chelsea())
        photos = [torch.from_numpy(s).permute(2, 0, 1).float()[:, ::3, ::3] / 255 for s in samples]
    print(f"{len(photos)} photos, {steps} steps")
    curve, history = (
        train_darkening(photos, steps=steps, crop=96, learning_rate=2e-3, half=True)
        if folders
        else train_darkening(photos, steps=steps, batch=4, crop=48, learning_rate=3e-3)
    )
    for step in sorted({*range(0, steps, max(steps // 10, 1)), steps - 1}):
        losses = ", ".join(f"{name} {value:.4f}" for name, value in history[step].items())
        print(f"step {step:>5}: {losses}")

    weights = Path(output).with_suffix(".safetensors")
    save_file(curve.state_dict(), weights)
    print(f"wrote {weights}")
    darkening = ZeroDCEDarkening(weights=weights)
    photo = torch.from_numpy(coffee()).permute(2, 0, 1)[None].float() / 255
    exposures = torch.tensor([0.3, 0.15, 0.05], dtype=torch.float64)
    dark = darkening.apply(photo.expand(3, -1, -1, -1), {"exposure": exposures})
    write(output, Photo(torch.cat((photo[0], *dark), -1)))
    print(f"wrote {output}: a photo, and darkened to 0.3, 0.15 and 0.05")
    return [sum(losses.values()) for losses in history]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", nargs="?", default="train_darkening.png")
    parser.add_argument("--photos", nargs="+", default=(), metavar="FOLDER")
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    main(arguments.output, tuple(arguments.photos), arguments.steps)
