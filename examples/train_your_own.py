"""Train an unrolled network of your own on your own photos, from a folder to a restored picture.

Dark and shaken photos are made of the sharp ones; any model and prior can be named. Without a
folder it trains for seconds on photos that scikit-image carries: a rough model. With one of yours
it takes five minutes on two cores::

    python examples/train_your_own.py restored.png --photos FOLDER --steps 400

It can be stopped, or killed: the same command goes on. The weights are in a folder beside the
picture, for `unfold restore --model FOLDER PHOTO --output OUT`.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from skimage.data import astronaut, coffee, stereo_motorcycle

from unfold.imaging import Photo, write
from unfold.metrics import PSNR
from unfold.models.weights import load_model
from unfold.synthesis import SynthesizedPhotos
from unfold.training import read_recipe, train


def main(output: str = "train_your_own.png", folder: str | None = None, steps: int = 40) -> float:
    with tempfile.TemporaryDirectory() as temporary:
        weights = Path(output).with_suffix("")
        sharp = (
            Path(folder) if folder else sample_photos(weights.with_name(f"{weights.name}-photos"))
        )
        held_out = Path(temporary, "test.png")
        write(held_out, to_photo(stereo_motorcycle()[0]))
        changes = {
            "data.source": str(sharp),
            # Any model and prior that `unfold list` shows, and their options.
            "model.K": 3 if folder else 2,
            "model.prior": {"kind": "ircnn", "width": 16 if folder else 8},
            "phases.0.steps": steps,
            "phases.0.crop": 64 if folder else 48,
        }
        recipe = read_recipe("jude-small", changes)

        def begin(trainer):
            def watch(step, named):
                if step % max(steps // 10, 1) == 0:
                    print(f"step {step:>5}: " + ", ".join(f"{k} {v:.4f}" for k, v in named.items()))

            return watch

        train(recipe, weights, begin=begin)
        print(f"wrote {weights}: weights, checkpoints, losses.csv")

        model = load_model(weights)
        photo = SynthesizedPhotos(held_out, recipe.data.recipe, crop=192)[0]
        with torch.inference_mode():
            restored = model(photo["input"][None]).image
        before, after = (
            PSNR()(image, photo["target"][None]).item()
            for image in (photo["input"][None], restored)
        )
        print(f"PSNR: {before:.2f} dB dark and shaken, {after:.2f} dB restored")
        write(output, Photo(torch.cat((photo["input"], restored[0], photo["target"]), -1)))
        print(f"wrote {output}: dark and shaken, restored, original")
    return after - before


def sample_photos(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "astronaut.png", to_photo(astronaut()))
    write(folder / "coffee.png", to_photo(coffee()))
    return folder


def to_photo(pixels) -> Photo:
    return Photo(torch.from_numpy(pixels).permute(2, 0, 1).float() / 255)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", nargs="?", default="train_your_own.png")
    parser.add_argument("--photos", metavar="FOLDER")
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    main(arguments.output, arguments.photos, arguments.steps)
