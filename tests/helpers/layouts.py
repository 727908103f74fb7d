"""Small data sets of real photos, laid out as the readers expect them."""

import functools
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (12, 9)  # width, height


@functools.cache
def samples():
    from skimage import data

    return [getattr(data, name)()[100:300, 100:300] for name in ("astronaut", "coffee", "chelsea")]


def picture(seed, size=SIZE):
    """A piece of a photo, another for each seed."""
    width, height = size
    top, left = np.random.default_rng(seed).integers(200 - max(size), size=2)
    return samples()[seed % 3][top : top + height, left : left + width]


def put(path: Path, seed=0, size=SIZE, bits=8):
    """Write a picture; 16 bits by the project's own writer, since Pillow has no such PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if bits == 8:
        Image.fromarray(picture(seed, size)).save(path)
        return
    import torch

    from unfold.imaging import Photo, write

    values = torch.from_numpy(picture(seed, size) / 255).float().permute(2, 0, 1)
    write(path, Photo(values.contiguous(), bits=16))


def lol_blur(root, frames=range(1, 61), sequences=("0012", "0003")):
    for split in ("train", "test"):
        for kind in ("low_blur", "low_blur_noise", "low_sharp", "high_sharp_scaled",
                     "high_sharp_original"):  # fmt: skip
            for sequence in sequences:
                for frame in frames:
                    put(root / split / kind / sequence / f"{frame:04d}.png", frame)


def gopro(root):
    for split, sequences in (("train", ["GOPR0372_07_00"]), ("test", ["GOPR0384_11_00", "b c"])):
        for sequence in sequences:
            for kind in ("blur", "blur_gamma", "sharp"):
                for frame in range(47, 51):
                    put(root / split / sequence / kind / f"{frame:06d}.png", frame)


def realblur_j(root):
    top = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref"
    for split, scenes in (("train", (1, 2)), ("test", (10, 230))):
        lines = []
        for scene in scenes:
            for i in (1, 2, 10):
                gt, blur = (f"{top}/scene{scene:03d}/{k}/{k}_{i}.png" for k in ("gt", "blur"))
                put(root / gt, i)
                put(root / blur, i + 1)
                lines.append(f"{gt} {blur} \n")
        (root / f"RealBlur_J_{split}_list.txt").write_text("".join(lines) + "\n")


def lol(root):
    for split, numbers in (("our485", (2, 5, 10)), ("eval15", (1, 22, 111, 493))):
        for number in numbers:
            for kind in ("low", "high"):
                put(root / split / kind / f"{number}.png", number)


def dpdd(root):
    for split, count in (("train", 4), ("val", 3), ("test", 3)):
        for i in range(count):
            put(root / f"{split}_c/target/1P0A{2 * i + 1001}.png", i, bits=16)
            for side, mark in (("c", ""), ("l", "_L"), ("r", "_R")):
                put(root / f"{split}_{side}/source/1P0A{2 * i + 1000}{mark}.png", i, bits=16)


def two_folders(first, second, suffix=".png"):
    def write(root):
        for i in (2, 7, 10):
            put(root / first / f"{i}.png", i)
            put(root / second / f"{i}{suffix}", i)

    return write


def photos(*names):
    def write(root):
        for i, name in enumerate(names):
            put(root / name, i)

    return write


LAYOUTS = {
    "cuhk": photos("out_of_focus0001.jpg", "out_of_focus0002.jpg", "out_of_focus0010.JPG"),
    "dpdd": dpdd,
    "gopro": gopro,
    "lol": lol,
    "lol-blur": functools.partial(lol_blur, frames=range(1, 5)),
    "paired": two_folders("input", "target", ".TIF"),
    "real-lol-blur": photos("sony/0000_0082.png", "sony/0002_0006.png", "j/075_blur_9.png"),
    "realblur-j": realblur_j,
    "realdof": two_folders("source", "target"),
    "rtf": two_folders("image/0", "GT"),
    "unpaired": photos("a b.jpg", "é/ñ 雪.png", "deep/er/x.tiff"),
}
