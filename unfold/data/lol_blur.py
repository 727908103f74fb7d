"""LOL-Blur: dark, blurred video frames with their bright and sharp originals."""

from __future__ import annotations

import os
from typing import Literal

from .base import Dataset, Pair
from .folder import list_folder, match, natural

CLIP = 30  # frames


class LOLBlur(Dataset):
    """LOL-Blur: 12,000 synthetic pairs of night video, dark and blurred against sharp.

    Layout: ``{train,test}/<kind>/<sequence>/<frame>.png``, 1120×640, 170 and 30 sequences of 60
    frames. The first and last 30 frames of a sequence are not consecutive, and were darkened
    differently: they are its clips 0 and 1, told by a frame's position among those that are
    there, so a frame missing as input and as target moves the border by one.

    Source: Zhou et al., LEDNet, ECCV 2022, and the README of its repository.

    Args:
        input: the kind of the inputs: with noise, as in the paper's table, or without.
        target: the kind of the targets: the slightly dimmed originals, the originals, or the
            dark but sharp frames.
    """

    title = "LOL-Blur"
    layout = "{train,test}/{low_blur_noise,high_sharp_scaled,...}/<sequence>/<frame>.png"
    source = "https://github.com/sczhou/LEDNet"
    splits = ("train", "test")

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "",
        *,
        input: Literal["low_blur_noise", "low_blur"] = "low_blur_noise",
        target: Literal[
            "high_sharp_scaled", "low_sharp", "high_sharp_original"
        ] = "high_sharp_scaled",
        strict: bool = True,
    ) -> None:
        self.kinds = input, target
        super().__init__(root, split, strict=strict)

    def find(self, faults: list[str]) -> tuple[Pair, ...]:
        inputs, targets = (
            list_folder(self.root, f"{self.split}/{kind}", faults) for kind in self.kinds
        )
        frames = sorted({*inputs.photos, *targets.photos}, key=natural)
        positions: dict[str, int] = {}
        clips: dict[str, int] = {}
        for name in frames:
            sequence = name.rpartition("/")[0]
            clips[name] = positions.setdefault(sequence, 0) // CLIP
            positions[sequence] += 1
        if "" in positions:
            faults.append(
                f"{self.split}: of its photos {positions['']} lie in no sequence's folder"
            )
        return tuple(
            Pair(name, file, target, sequence=name.rpartition("/")[0], clip=clips[name])
            for name, (file, target) in match(inputs, targets, faults).items()
            if "/" in name
        )


class RealLOLBlur(Dataset):
    """Real-LOL-Blur: 1,354 real night photos with blur, without ground truth.

    Layout: all photos in the folder and in those below it. 482 are from RealBlur-J, 872 are of
    a Sony RX10 IV, says the repository; how its folders are called could not be verified, so
    nothing depends on it, and no photo is taken for a frame of a sequence.

    Source: Zhou et al., LEDNet, ECCV 2022, and the README of its repository.
    """

    title = "Real-LOL-Blur"
    layout = "photos in folders of any name"
    source = "https://github.com/sczhou/LEDNet"

    def find(self, faults: list[str]) -> tuple[Pair, ...]:
        photos = list_folder(self.root, ".", faults).photos
        return tuple(Pair(name, file) for name, file in photos.items())
