"""GoPro: video frames blurred by averaging, with the sharp frame in the middle."""

from __future__ import annotations

import os
from typing import Literal

from .base import Dataset, Pair
from .folder import list_folder, list_subfolders, match


class GoPro(Dataset):
    """GoPro (GOPRO_Large): averaged frames of fast video, and the sharp frame in the middle.

    Layout: ``{train,test}/<sequence>/{blur,blur_gamma,sharp}/<frame>.png``, 1280×720, 22 and 11
    sequences, 2,103 and 1,111 pairs. Frames of a sequence are consecutive in the order of their
    numbers. (Copies with ``input`` and ``target`` folders are read by ``paired``.)

    Source: Nah et al., CVPR 2017; its authors' code and their answers in the issues of
    SeungjunNah/DeepDeblur_release. The numbers of pairs are taken from other programs.

    Args:
        input: with ``"blur"``, the frames are averaged as stored. With ``"blur_gamma"``, they are
            averaged in linear light, with a gamma of 2.2. Results on both are not comparable.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from unfold.datasets.gopro import GoPro
        >>> from unfold.imaging import Photo, write
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for kind in ("blur", "sharp"):
        ...         path = Path(root, "test", "GOPR0384_11_00", kind, "000047.png")
        ...         path.parent.mkdir(parents=True)
        ...         write(path, Photo(torch.rand(3, 8, 8)))
        ...     pair = GoPro(root, "test")[0]
        >>> pair.name, pair.input.parent.name, pair.target.parent.name
        ('GOPR0384_11_00/000047', 'blur', 'sharp')
    """

    title = "GoPro"
    layout = "{train,test}/<sequence>/{blur,blur_gamma,sharp}/<frame>.png"
    source = "https://seungjunnah.github.io/Datasets/gopro"
    splits = ("train", "test")

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "",
        *,
        input: Literal["blur", "blur_gamma"] = "blur",
        strict: bool = True,
    ) -> None:
        self.kind = input
        super().__init__(root, split, strict=strict)

    def find(self, errors: list[str]) -> tuple[Pair, ...]:
        pairs: list[Pair] = []
        for sequence in list_subfolders(self.root, self.split, errors):
            place = f"{self.split}/{sequence}"
            inputs = list_folder(self.root, f"{place}/{self.kind}", errors)
            targets = list_folder(self.root, f"{place}/sharp", errors)
            pairs += (
                Pair(f"{sequence}/{name}", file, target, sequence=sequence)
                for name, (file, target) in match(inputs, targets, errors).items()
            )
        return tuple(pairs)
